"""Run by serve.ts: a minimal server of FastAPI with timm or transformers, which answers what is posted: FOLDER TASK PORT."""
import io
import json
import sys

import torch
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image
from safetensors.torch import load_file

folder, task, port = sys.argv[1:]
if task == "classify":
    import timm

    config = json.load(open(f"{folder}/config.json"))
    model = timm.create_model(config["architecture"], num_classes=config["num_classes"])
    model.load_state_dict(load_file(f"{folder}/model.safetensors"))
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    forward = lambda image: model(transform(image)[None]).softmax(-1).topk(5).values[0].tolist()
else:
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    model = CLIPVisionModelWithProjection.from_pretrained(folder)
    processor = CLIPImageProcessor()
    forward = lambda image: model(**processor(image, return_tensors="pt")).image_embeds[0].tolist()
model.eval()
app = FastAPI()


@app.post("/")
async def answer(request: Request):
    image = Image.open(io.BytesIO(await request.body())).convert("RGB")
    with torch.inference_mode():
        return forward(image)


uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")
