"""Export the networks that `full4d evaluate` takes as .onnx files; run it once, with a network.

    pip install torch transformers onnx onnxscript pytorch-fid kornia
    python docs/export_onnx.py "a cat"    # GIM's gim_loftr_50h.ckpt lies in this folder

It writes clip.onnx (--clip_onnx), clip_text.npy, the prompt (--clip_text), inception.onnx
(--inception_onnx) and gim.onnx (--matcher_onnx).
"""

import sys

import kornia
import numpy as np
import torch
from pytorch_fid.inception import InceptionV3
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

CLIP = "openai/clip-vit-large-patch14"


class Encoder(torch.nn.Module):
    """CLIP's image encoder, from pictures to embeddings."""

    def __init__(self, clip):
        super().__init__()
        self.clip = clip

    def forward(self, pictures):
        """Return one embedding for each picture."""
        return self.clip(pictures).image_embeds


class Matcher(torch.nn.Module):
    """LoFTR with GIM's weights, from two pictures to the confidence of each match."""

    def __init__(self, loftr):
        super().__init__()
        self.loftr = loftr
        self.register_buffer("grey", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))

    def forward(self, first, second):
        """Return the confidences."""
        pair = [(colors * self.grey).sum(1, keepdim=True) for colors in (first, second)]
        return self.loftr({"image0": pair[0], "image1": pair[1]})["confidence"]


clip = CLIPVisionModelWithProjection.from_pretrained(CLIP).eval()
torch.onnx.export(Encoder(clip), (torch.zeros(1, 3, 224, 224),), "clip.onnx")
words = CLIPTokenizer.from_pretrained(CLIP)(sys.argv[1], truncation=True, return_tensors="pt")
with torch.no_grad():
    text = CLIPTextModelWithProjection.from_pretrained(CLIP).eval()(**words).text_embeds
np.save("clip_text.npy", text.numpy())
inception = InceptionV3([3], resize_input=False, normalize_input=False).eval()
torch.onnx.export(inception, (torch.zeros(1, 3, 299, 299),), "inception.onnx")

loftr = kornia.feature.LoFTR(pretrained=None)
loftr.load_state_dict(torch.load("gim_loftr_50h.ckpt", weights_only=True)["state_dict"])
picture = torch.rand(1, 3, 480, 640)  # twice the same, so that there are matches to trace
matcher, names = Matcher(loftr).eval(), ["first", "second"]
torch.onnx.export(matcher, (picture, picture), "gim.onnx", dynamo=False, input_names=names)
