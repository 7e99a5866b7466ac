"""Trains a small network on made-up data, on the GPU that the step was given, and goes on from its checkpoint."""
import json
import os
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("train.py needs PyTorch: install torch for this interpreter, or give the step a venv that has it")
if not torch.cuda.is_available():
    sys.exit("train.py found no GPU that PyTorch can use "
             f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', '')!r})")

EPOCHS = int(os.environ.get("EPOCHS", "10"))
WIDTH = int(os.environ.get("WIDTH", "2048"))
CHECKPOINT = os.path.join(os.environ["SLUICE_CHECKPOINT"], "state.pt")
BATCH, BATCHES, FEATURES, CLASSES = 512, 200, 128, 10

fraction = os.environ.get("SLUICE_GPU_FRACTION")  # set for a share: what lies beyond belongs to others
if fraction:
    torch.cuda.set_per_process_memory_fraction(float(fraction))
torch.manual_seed(int(os.environ.get("SEED", "0")))
device = torch.device("cuda")
print("device", torch.cuda.get_device_name(device), os.environ.get("CUDA_VISIBLE_DEVICES"))

truth = torch.randn(FEATURES, CLASSES, device=device)
model = torch.nn.Sequential(
    torch.nn.Linear(FEATURES, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(),
    torch.nn.Linear(WIDTH, CLASSES)).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
first = 0
if os.path.exists(CHECKPOINT):
    state = torch.load(CHECKPOINT, map_location=device)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    first = state["epoch"]
    print("goes on at epoch", first)

with open(os.environ["SLUICE_METRICS"], "a", encoding="utf-8") as metrics:
    for epoch in range(first, EPOCHS):
        began = time.monotonic()
        total, right = 0.0, 0
        for _ in range(BATCHES):
            x = torch.randn(BATCH, FEATURES, device=device)
            y = (x @ truth).argmax(1)
            scores = model(x)
            loss = torch.nn.functional.cross_entropy(scores, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item()
            right += int((scores.argmax(1) == y).sum())
        seconds = time.monotonic() - began
        line = {"step": epoch, "loss": total / BATCHES, "accuracy": right / (BATCH * BATCHES),
                "samples_per_second": BATCH * BATCHES / seconds}
        metrics.write(json.dumps(line) + "\n")
        metrics.flush()
        print(f"epoch {epoch}: loss {line['loss']:.4f} accuracy {line['accuracy']:.3f}", flush=True)
        part = CHECKPOINT + ".part"
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}, part)
        os.replace(part, CHECKPOINT)

torch.save(model.state_dict(), os.environ["SLUICE_OUT_model"])
