"""Makes tiny_clip.onnx and tiny_clip.npz with transformers, torch, onnx and onnxscript.

The file is exported as docs/evaluation.md says, from a CLIP with random weights; beside it lie a
picture and its embedding by transformers' own processor and model.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)


class Encoder(torch.nn.Module):
    """From pictures to embeddings alone."""

    def __init__(self, clip):
        super().__init__()
        self.clip = clip

    def forward(self, pictures):
        return self.clip(pictures).image_embeds


folder = Path(__file__).parent
torch.manual_seed(0)
sizes = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 2,
    "patch_size": 28,
}
config = CLIPVisionConfig(num_hidden_layers=1, projection_dim=6, **sizes)
clip = CLIPVisionModelWithProjection(config).eval()
with torch.no_grad():
    for parameter in clip.parameters():
        parameter.normal_(0, 1.0)
file = folder / "tiny_clip.onnx"
torch.onnx.export(
    Encoder(clip), (torch.zeros(1, 3, 224, 224),), file, external_data=False
)
model = onnx.load(file)
for node in [
    *model.graph.node,
    *model.graph.input,
    *model.graph.output,
    *model.graph.value_info,
]:
    del node.metadata_props[:]  # the machine's stack traces
onnx.save(model, file)
y, x = np.mgrid[:260, :450]
picture = np.stack(
    [x // 16 * 8, y // 16 * 15, np.where((x + y) % 60 < 25, 200, 40)], -1
).astype(np.uint8)
processor = CLIPImageProcessor(use_fast=False)
pixels = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
with torch.no_grad():
    embedding = clip(pixels).image_embeds[0].numpy()
np.savez_compressed(folder / "tiny_clip.npz", picture=picture, embedding=embedding)
print(embedding)
