"""Export the networks that `full4d evaluate` takes as .onnx files; run it once, with a network.

    pip install torch transformers onnx onnxscript
    python docs/export_onnx.py "a cat"

It writes clip.onnx (--clip_onnx) and clip_text.npy, the prompt (--clip_text).
"""

import sys

import numpy as np
import torch
from transformers import (
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

CLIP = "openai/clip-vit-large-patch14"


class Encoder(torch.nn.Module):
    """CLIP's image encoder, from pictures to embeddings."""

    def __init__(self, clip):
        super().__init__()
        self.clip = clip

    def forward(self, pictures):
        """Return one embedding for each picture."""
        return self.clip(pictures).image_embeds


clip = CLIPVisionModelWithProjection.from_pretrained(CLIP).eval()
torch.onnx.export(Encoder(clip), (torch.zeros(1, 3, 224, 224),), "clip.onnx")
words = CLIPTokenizer.from_pretrained(CLIP)(
    sys.argv[1], truncation=True, return_tensors="pt"
)
with torch.no_grad():
    text = CLIPTextModelWithProjection.from_pretrained(CLIP).eval()(**words).text_embeds
np.save("clip_text.npy", text.numpy())
