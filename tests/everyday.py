"""Names and values of metrics as people log them: in tutorials, examples and issues of trackers and frameworks."""

NAMES = (
    "loss", "train/loss", "val/acc", "lr", "epoch", "Train Loss", "Train_Loss", "train loss", "Val Loss",
    "Val Acc (top-1)", "Val Acc (top-5)", "Validation Accuracy", "Test Accuracy (%)", "acc@1", "acc@5", "Recall@10",
    "mAP@0.5", "mAP@[.5:.95]", "metrics/mAP50(B)", "metrics/precision(B)", "train/box_loss", "loss/total",
    "Loss/train", "Loss/val", "charts/episodic_return", "losses/value_loss", "rollout/ep_rew_mean", "time/fps",
    "Perplexity", "BLEU-4", "ROUGE-L F1", "F1 (macro)", "F-score β=2", "größe", "损失", "精度/训练", "потери",
    "perte d'entraînement", "σ²", "∇ norm", "Δloss", "🚀 tokens/s", "GPU 0 (°C)", "lr-Adam/pg1", "lr-Adam/pg2",
    "grad norm (L2)", "weights[0]", "layer.0.weight", "layer #1", "a:b", "a,b", "a=b", "a+b", "q=0.95", "100%",
    "_private", "/leading", "trailing/", "double//slash", " padded ", "C:\\loss", "x" * 300, "y " * 400,
)  # fmt: skip
"""Sixty-three of them; those that the grammar of keys allows are among them."""
