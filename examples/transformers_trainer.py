"""Fine-tune a small language model with Transformers' Trainer, and let Quark record it.

python examples/transformers_trainer.py [storage directory]
"""

import sys
import tempfile

import torch
from transformers import EarlyStoppingCallback, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.utils.logging import disable_progress_bar

import quark
from quark_integrations.callbacks.transformers import QuarkCallback

storage = sys.argv[1] if len(sys.argv) > 1 else "quark-runs"
disable_progress_bar()
torch.manual_seed(0)

model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=16,
    )
)  # fmt: skip
counting = [(torch.arange(12) + start) % 16 for start in range(16)] * 8  # 5 6 7 8 ...: it learns to count
sentences = [{"input_ids": row, "labels": row} for row in counting]

schedule = quark.HookScheduleConfig(every_n_steps=20)
callback = QuarkCallback(
    project="counting",
    storage_dir=storage,
    tags=["example"],
    hooks=quark.HookEngineConfig(schedule=schedule),  # layers and parameters in every 20th step
)

with tempfile.TemporaryDirectory() as checkpoints:
    arguments = TrainingArguments(
        output_dir=checkpoints, num_train_epochs=20, per_device_train_batch_size=16, learning_rate=1e-2,
        logging_steps=5, eval_strategy="epoch", save_strategy="epoch", save_total_limit=1,
        metric_for_best_model="loss", load_best_model_at_end=True, disable_tqdm=True, log_level="error",
        report_to="none", use_cpu=True,
    )  # fmt: skip
    trainer = Trainer(
        model=model, args=arguments, train_dataset=sentences, eval_dataset=sentences[:16],
        callbacks=[callback, EarlyStoppingCallback(early_stopping_patience=2, early_stopping_threshold=0.05)],
    )  # fmt: skip
    trainer.train()

with quark.open(storage) as store:
    run = store.run(str(callback.run_id))
    print(run.status, run.reason)
    print("loss", run.series("eval/loss").values.round(3).tolist())
    print("saved", [event.payload["path"].rpartition("/")[2] for event in run.events("checkpoint_saved")])
    print("layers", sorted({record.module_name for record in run.layers()})[:3])
