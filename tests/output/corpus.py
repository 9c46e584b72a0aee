"""Lines as programs print them -> what is understood of them. Each is made up in the manner of the program."""

from __future__ import annotations

from typing import Any

#: Program -> its lines, and the position and the values after them.
UNDERSTOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "nanoGPT, a step": ("iter 100: loss 2.3456, time 12.34ms, mfu 1.23%", {"iter": 100, "train/loss": 2.3456}),
    "nanoGPT, an evaluation": (
        "step 250: train loss 2.1234, val loss 2.2345",
        {"iter": 250, "train/loss": 2.1234, "val/loss": 2.2345},
    ),
    "LitGPT, pretraining": (
        "Epoch 1 | iter 100 step 25 | loss train: 10.123, val: n/a | iter time: 350.12 ms (step) remaining time: 1 day, 2:03:04",
        {"iter": 100, "train/loss": 10.123},
    ),
    "LitGPT, with a validation": (
        "Epoch 1 | iter 100 step 25 | loss train: 1.123, val: 2.5 | iter time: 350.12 ms (step)",
        {"iter": 100, "train/loss": 1.123, "val/loss": 2.5},
    ),
    "LitGPT, older": (
        "iter 100 step 25: loss 2.3412, iter time: 123.45ms (optimizer.step)",
        {"iter": 100, "train/loss": 2.3412},
    ),
    "LitGPT, validation": ("iter 100: val loss 2.1234, val time: 1234.56 ms", {"iter": 100, "val/loss": 2.1234}),
    "Trainer, a log": (
        "{'loss': 2.3412, 'grad_norm': 1.2345, 'learning_rate': 4.5e-05, 'epoch': 0.12}",
        {"epoch": 0.12, "train/loss": 2.3412, "grad_norm": 1.2345, "learning_rate": 4.5e-05},
    ),
    "Trainer, an evaluation": (
        "{'eval_loss': 1.9, 'eval_accuracy': 0.83, 'eval_runtime': 12.3, 'eval_samples_per_second': 81.1, 'eval_steps_per_second': 10.2, 'epoch': 1.0}",
        {
            "iter": 1,
            "epoch": 1,
            "val/loss": 1.9,
            "eval_accuracy": 0.83,
            "eval_runtime": 12.3,
            "eval_samples_per_second": 81.1,
            "eval_steps_per_second": 10.2,
        },
    ),
    "Trainer, numbers as text": (
        "{'loss': '2.341', 'grad_norm': 'nan', 'learning_rate': '4.5e-05', 'epoch': '0.12'}",
        {"epoch": 0.12, "train/loss": 2.341, "grad_norm": float("nan"), "learning_rate": 4.5e-05},
    ),
    "Trainer, the summary": (
        "{'train_runtime': 100.1, 'train_samples_per_second': 30.1, 'train_steps_per_second': 1.0, 'train_loss': 2.2, 'epoch': 3.0}",
        {
            "iter": 3,
            "epoch": 3,
            "train_runtime": 100.1,
            "train_samples_per_second": 30.1,
            "train_steps_per_second": 1.0,
            "train_loss": 2.2,
        },
    ),
    "Trainer, behind its bar": (
        " 33%|███▎      | 100/300 [00:12<00:24,  8.13it/s]{'loss': 2.3412, 'grad_norm': 1.2, 'learning_rate': 4e-05, 'epoch': 1.0}",
        {"iter": 100, "epoch": 1, "train/loss": 2.3412, "grad_norm": 1.2, "learning_rate": 4e-05},
    ),
    "tqdm": (
        " 45%|████▌     | 450/1000 [00:12<00:15, 36.5it/s, loss=2.31, acc=0.5]",
        {"iter": 450, "max_iters": 1000, "train/loss": 2.31, "acc": 0.5},
    ),
    "Lightning": (
        "Epoch 3:  45%|████▌     | 450/1000 [00:12<00:15, 36.50it/s, v_num=0, train_loss=2.310]",
        {"iter": 2450, "epoch": 3, "train/loss": 2.31},
    ),
    "tqdm, named by the epoch": (
        "Epoch 3/10:  45%|████▌     | 450/1000 [00:12<00:15, 36.50it/s, loss=2.310]",
        {"iter": 2450, "max_iters": 10000, "epoch": 3, "train/loss": 2.31},
    ),
    "tqdm, without a total": ("450it [00:12, 36.5it/s, loss=2.3]", {"iter": 450, "train/loss": 2.3}),
    "diffusers": (
        "Steps:  10%|█         | 100/1000 [01:00<09:00,  1.67it/s, lr=1e-5, step_loss=0.123]",
        {"iter": 100, "max_iters": 1000, "lr": 1e-05, "train/loss": 0.123},
    ),
    "Keras 2": (
        "Epoch 3/10\n 45/938 [>.............................] - ETA: 1s - loss: 0.5123 - accuracy: 0.8123\n938/938 [==============================] - 2s 2ms/step - loss: 0.2345 - accuracy: 0.9312 - val_loss: 0.1000 - val_accuracy: 0.9512",
        {
            "iter": 2814,
            "max_iters": 9380,
            "epoch": 3,
            "train/loss": 0.2345,
            "accuracy": 0.9312,
            "val/loss": 0.1,
            "val_accuracy": 0.9512,
        },
    ),
    "Keras 3": (
        "Epoch 3/10\n938/938 ━━━━━━━━━━━━━━━━━━━━ 2s 2ms/step - accuracy: 0.9312 - loss: 0.2345 - val_accuracy: 0.9512 - val_loss: 0.1812",
        {
            "iter": 2814,
            "max_iters": 9380,
            "epoch": 3,
            "accuracy": 0.9312,
            "train/loss": 0.2345,
            "val_accuracy": 0.9512,
            "val/loss": 0.1812,
        },
    ),
    "Keras, verbose=2 and evaluate": (
        "Epoch 2/3\n938/938 - 2s - 2ms/step - accuracy: 0.9312 - loss: 0.2345\n313/313 - 0s - 1ms/step - accuracy: 0.97 - loss: 0.0812",
        {
            "iter": 1876,
            "max_iters": 2814,
            "epoch": 2,
            "accuracy": 0.9312,
            "train/loss": 0.2345,
            "val/accuracy": 0.97,
            "val/loss": 0.0812,
        },
    ),
    "tutorial, epoch and step": (
        "Epoch [3/10], Step [5/100], Loss: 0.5123",
        {"iter": 205, "max_iters": 1000, "epoch": 3, "train/loss": 0.5123},
    ),
    "tutorial, epoch": ("Epoch [3/10], Loss: 0.5123", {"iter": 3, "max_iters": 10, "epoch": 3, "train/loss": 0.5123}),
    "by hand, epoch with names": (
        "Epoch 3/10: train_loss=0.5123, val_loss=0.6123",
        {"iter": 3, "max_iters": 10, "epoch": 3, "train/loss": 0.5123, "val/loss": 0.6123},
    ),
    "by hand, step with names": ("step=100 loss=0.5123", {"iter": 100, "train/loss": 0.5123}),
    "ImageNet example, training": (
        "Epoch: [3][ 40/196]\tTime  0.112 ( 0.234)\tData  0.001 ( 0.010)\tLoss 1.2345e+00 (1.3456e+00)\tAcc@1  50.00 ( 49.12)\tAcc@5  80.00 ( 79.12)",
        {"iter": 432, "epoch": 3, "train/loss": 1.2345, "Acc@1": 50.0, "Acc@5": 80.0},
    ),
    "ImageNet example, test": (
        "Test: [ 10/97]\tTime  0.112 ( 0.234)\tLoss 1.2345e+00 (1.3456e+00)\tAcc@1  50.00 ( 49.12)",
        {"val/loss": 1.2345, "val/Acc@1": 50.0},
    ),
    "ImageNet example, summary": (" * Acc@1 76.130 Acc@5 92.862", {"val/Acc@1": 76.13, "val/Acc@5": 92.862}),
    "MNIST example, training": (
        "Train Epoch: 3 [12800/60000 (21%)]\tLoss: 0.123456",
        {"iter": 132800, "epoch": 3, "train/loss": 0.123456},
    ),
    "MNIST example, test": (
        "Test set: Average loss: 0.0512, Accuracy: 9832/10000 (98%)",
        {"test/loss": 0.0512, "test/Accuracy": 0.9832},
    ),
    "torchvision, training": (
        "Epoch: [0]  [  10/5004]  eta: 0:12:34  lr: 0.000100  loss: 6.9123 (7.0123)  time: 0.1234  data: 0.0012  max mem: 1234",
        {"iter": 10, "epoch": 0, "lr": 0.0001, "train/loss": 6.9123},
    ),
    "torchvision, test": (
        "Test:  [ 0/196]  eta: 0:01:00  loss: 0.5123 (0.5123)  acc1: 81.2500 (81.2500)  time: 0.3  data: 0.2  max mem: 1234",
        {"val/loss": 0.5123, "val/acc1": 81.25},
    ),
    "timm, training": (
        "Train: 3 [ 100/1251 (  8%)]  Loss: 4.560 (4.60)  Time: 0.345s,  371.23/s  (0.351s,  365.01/s)  LR: 5.000e-04  Data: 0.010 (0.012)",
        {"iter": 2602, "epoch": 3, "train/loss": 4.56, "LR": 0.0005},
    ),
    "timm, validation": (
        "Test: [  10/97]  Time: 0.112 (0.234)  Loss:   0.9123 (0.9500)  Acc@1:  78.1250 ( 77.2000)  Acc@5:  93.7500 ( 93.1000)",
        {"val/loss": 0.9123, "val/Acc@1": 78.125, "val/Acc@5": 93.75},
    ),
    "mmengine, training by epochs": (
        "2024/05/01 12:00:00 - mmengine - INFO - Epoch(train)   [3][100/1250]  lr: 1.0000e-02  eta: 1:23:45  time: 0.2123  data_time: 0.0123  memory: 1234  loss: 0.5123  loss_cls: 0.3123",
        {"iter": 2600, "epoch": 3, "lr": 0.01, "train/loss": 0.5123, "loss_cls": 0.3123},
    ),
    "mmengine, validation": (
        "2024/05/01 12:00:00 - mmengine - INFO - Epoch(val) [3][50/50]    coco/bbox_mAP: 0.3450  coco/bbox_mAP_50: 0.5123  data_time: 0.01  time: 0.05",
        {"iter": 3, "epoch": 3, "coco/bbox_mAP": 0.345, "coco/bbox_mAP_50": 0.5123},
    ),
    "mmengine, training by iterations": (
        "2024/05/01 12:00:00 - mmengine - INFO - Iter(train) [  100/80000]  lr: 1.0000e-02  eta: 1:23:45  time: 0.2  loss: 1.5123  decode.loss_ce: 1.2",
        {"iter": 100, "max_iters": 80000, "lr": 0.01, "train/loss": 1.5123, "decode.loss_ce": 1.2},
    ),
    "mmcv": (
        "2021-05-01 12:00:00,123 - mmdet - INFO - Epoch [3][100/1250]\tlr: 1.000e-02, eta: 1:23:45, time: 0.212, data_time: 0.012, memory: 1234, loss_cls: 0.3123, loss: 0.5123",
        {"iter": 2600, "epoch": 3, "lr": 0.01, "loss_cls": 0.3123, "train/loss": 0.5123},
    ),
    "YOLO": (
        "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size\n      3/100      2.53G      1.234      2.345      1.456         50        640: 100%|██████████| 8/8 [00:01<00:00,  5.21it/s]\n                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██████████| 4/4 [00:00<00:00,  6.01it/s]\n                   all        128        929       0.64      0.537      0.605      0.446",
        {
            "iter": 3,
            "max_iters": 100,
            "epoch": 3,
            "box_loss": 1.234,
            "cls_loss": 2.345,
            "dfl_loss": 1.456,
            "precision": 0.64,
            "recall": 0.537,
            "mAP50": 0.605,
            "mAP50-95": 0.446,
        },
    ),
    "JSON lines": (
        '{"step": 100, "loss": 2.3123, "val_loss": 2.5, "lr": 0.001}',
        {"iter": 100, "train/loss": 2.3123, "val/loss": 2.5, "lr": 0.001},
    ),
    "JSON lines behind a logger": (
        'INFO:root:{"epoch": 3, "train": {"loss": 0.5}, "val": {"loss": 0.6, "acc": 0.8}}',
        {"iter": 3, "epoch": 3, "train/loss": 0.5, "val/loss": 0.6, "val/acc": 0.8},
    ),
    "accelerate, dict": (
        "epoch 0: {'accuracy': 0.8312, 'f1': 0.8812}",
        {"iter": 0, "epoch": 0, "accuracy": 0.8312, "f1": 0.8812},
    ),
    "accelerate, logger": (
        "01/02/2024 12:00:00 - INFO - __main__ - epoch 0: perplexity: 23.4567 eval_loss: 3.1512",
        {"iter": 0, "epoch": 0, "perplexity": 23.4567, "val/loss": 3.1512},
    ),
    "accelerate, tensor": (
        "epoch 1: perplexity: 23.4567 eval_loss: tensor(3.1512, device='cuda:0')",
        {"iter": 1, "epoch": 1, "perplexity": 23.4567, "val/loss": 3.1512},
    ),
    "fairseq, training": (
        "2021-05-01 12:00:00 | INFO | train_inner | epoch 001:    100 / 1102 loss=12.345, nll_loss=11.912, ppl=3853.12, wps=12345.6, ups=3.21, wpb=3812.3, bsz=123.4, num_updates=100, lr=1.25e-05, gnorm=2.123, loss_scale=128, train_wall=35, gb_free=10.1, wall=60",
        {
            "iter": 100,
            "epoch": 1,
            "train/loss": 12.345,
            "nll_loss": 11.912,
            "ppl": 3853.12,
            "lr": 1.25e-05,
            "gnorm": 2.123,
        },
    ),
    "fairseq, validation": (
        "2021-05-01 12:00:00 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 9.123 | nll_loss 8.123 | ppl 280.91 | wps 12345.6 | num_updates 1102 | best_loss 9.123",
        {"iter": 1102, "epoch": 1, "val/loss": 9.123, "val/nll_loss": 8.123, "val/ppl": 280.91},
    ),
    "fairseq, JSON": (
        '2021-05-01 12:00:00 | INFO | train | {"epoch": 1, "train_loss": "10.5", "train_nll_loss": "9.8", "train_ppl": "900.1", "train_num_updates": "1102", "train_lr": "0.0001", "train_wall": "60"}',
        {"iter": 1102, "epoch": 1, "train/loss": 10.5, "train_nll_loss": 9.8, "train_ppl": 900.1, "train_lr": 0.0001},
    ),
    "Megatron, training": (
        " iteration      100/  500000 | consumed samples:        25600 | elapsed time per iteration (ms): 1234.5 | learning rate: 1.500E-05 | global batch size:   256 | lm loss: 9.123456E+00 | loss scale: 4294967296.0 | grad norm: 2.123 | number of skipped iterations:   0 | number of nan iterations:   0 |",
        {"iter": 100, "max_iters": 500000, "learning_rate": 1.5e-05, "train/loss": 9.123456, "grad_norm": 2.123},
    ),
    "Megatron, validation": (
        " validation loss at iteration 1000 | lm loss value: 2.123456E+00 | lm loss PPL: 8.123456E+00 | ",
        {"iter": 1000, "val/loss": 2.123456, "val/ppl": 8.123456},
    ),
    "torchtitan": (
        "[rank0]:[titan] 2024-05-01 12:00:00,123 - root - INFO - \x1b[31mstep: 10  \x1b[32mloss:  8.1234  \x1b[33mmemory: 12.34GiB(12.99%)  \x1b[34mtps: 1,234  \x1b[36mmfu: 12.34%\x1b[39m",
        {"iter": 10, "train/loss": 8.1234, "tps": 1234.0, "mfu": 12.34},
    ),
    "Detectron2": (
        "[05/01 12:00:00 d2.utils.events]:  eta: 1:23:45  iter: 19  total_loss: 1.234  loss_cls: 0.5123  loss_box_reg: 0.7  time: 0.3123  data_time: 0.0123  lr: 0.00025  max_mem: 1234M",
        {"iter": 19, "loss_cls": 0.5123, "loss_box_reg": 0.7, "lr": 0.00025, "train/loss": 1.234},
    ),
    "XGBoost": (
        "[10]\ttrain-logloss:0.12345\teval-logloss:0.23456",
        {"iter": 10, "train-logloss": 0.12345, "eval-logloss": 0.23456},
    ),
    "LightGBM": (
        "[10]\ttraining's binary_logloss: 0.12345\tvalid_1's binary_logloss: 0.23456",
        {"iter": 10, "training/binary_logloss": 0.12345, "valid_1/binary_logloss": 0.23456},
    ),
    "CatBoost": (
        "10:\tlearn: 0.6123456\ttest: 0.6234567\tbest: 0.6234567 (10)\ttotal: 12.3ms\tremaining: 1.2s",
        {"iter": 10, "learn": 0.6123456, "test": 0.6234567},
    ),
    "Lightning, checkpoint": (
        "Epoch 3, global step 400: 'val_loss' reached 0.12345 (best 0.12345), saving model to '/x/epoch=3-step=400.ckpt' as top 1",
        {"iter": 400, "epoch": 3, "val/loss": 0.12345},
    ),
    "Keras, checkpoint": (
        "Epoch 3: val_loss improved from 0.50000 to 0.45000, saving model to model.keras",
        {"iter": 3, "epoch": 3, "val/loss": 0.45},
    ),
    "Lightning, table of a test": (
        "│         test_acc          │    0.9739000201225281     │",
        {"test_acc": 0.9739000201225281},
    ),
    "transfer learning, training": ("train Loss: 0.5123 Acc: 0.8123", {"train/loss": 0.5123, "train/Acc": 0.8123}),
    "transfer learning, validation": ("val Loss: 0.2123 Acc: 0.9212", {"val/loss": 0.2123, "val/Acc": 0.9212}),
    "Lightning, rich bar": (
        "Epoch 3/9 ━━━━━━━━━━━━━━━━━━━━━━━━ 45/100 0:00:12 • 0:00:15 36.50it/s v_num: 0.000 train_loss: 2.310",
        {"iter": 245, "max_iters": 1000, "epoch": 3, "train/loss": 2.31},
    ),
}
BY_HAND: list[tuple[str, dict[str, Any]]] = [
    ("step: 12, loss: nan", {"iter": 12, "train/loss": float("nan")}),
    ("Iteration 5/100 | loss=1.5e-1", {"iter": 5, "max_iters": 100, "train/loss": 0.15}),
    (
        "[Epoch 5] train loss: 0.3, acc: 0.9 | val loss: 0.4, acc: 0.8",
        {"iter": 5, "epoch": 5, "train/loss": 0.3, "train/acc": 0.9, "val/loss": 0.4, "val/acc": 0.8},
    ),
    ("Epoch 5 | D loss: 0.31 | G loss: 1.2", {"iter": 5, "epoch": 5, "D_loss": 0.31, "G_loss": 1.2}),
    (
        "Epoch 00005 | Loss 0.3123 | Train Acc 0.9123 | Val Acc 0.8123 | ETputs(KTEPS) 12.34",
        {"iter": 5, "epoch": 5, "train/loss": 0.3123, "train/Acc": 0.9123, "val/Acc": 0.8123},
    ),
    (
        "Epoch: 005, Loss: 0.3123, Train: 0.9123, Val: 0.8123, Test: 0.8012",
        {"iter": 5, "epoch": 5, "train/loss": 0.3123, "Train": 0.9123, "Val": 0.8123, "Test": 0.8012},
    ),
    ("[12:00:01] iter 500 | train loss 1.234e+00 | lr 3.0e-4 | 1,234 tok/s", {"iter": 500, "train/loss": 1.234}),
    (
        "step 5/1000 | loss 4.123456 | norm 1.2345 | lr 6.00e-04 | 123.45 ms | 12345 tok/s",
        {"iter": 5, "max_iters": 1000, "train/loss": 4.123456},
    ),
    (
        "step:100/1000 train_loss:4.1234 train_time:12345ms step_avg:123.45ms",
        {"iter": 100, "max_iters": 1000, "train/loss": 4.1234},
    ),
    (
        "step:125/1000 val_loss:4.0123 train_time:12345ms step_avg:123.45ms",
        {"iter": 125, "max_iters": 1000, "val/loss": 4.0123},
    ),
    ("iter 5: loss 2.31.", {"iter": 5, "train/loss": 2.31}),
    ("Epoch 1/5 - Training", {"iter": 1, "max_iters": 5, "epoch": 1}),
    ("epoch 3 step 400 loss 2.5 val_loss 2.6", {"iter": 400, "epoch": 3, "train/loss": 2.5, "val/loss": 2.6}),
]
#: Lines that say nothing of a training.
NOT_UNDERSTOOD = [
    "return code: 0",
    "Errors: 0, warnings: 3",
    "best match: 3, score: 12",
    "Downloading model.safetensors:  45%|████▌     | 45.0M/100M [00:01<00:01, 45.0MB/s]",
    "Map:  45%|████▌     | 4500/10000 [00:01<00:01, 4500.00 examples/s]",
    "Loading checkpoint shards: 100%|██████████| 2/2 [00:01<00:00,  1.5it/s]",
    "Validation DataLoader 0:  50%|█████     | 5/10 [00:00<00:00, 65.00it/s]",
    "*** Best metric: 78.3 (epoch 290)",
    "lr 1e-3",
    "loss 3.0",
    "the loss of the model is large, see step 3 of the manual",
    "loading /data/step=100-loss=2.31.ckpt",
    "2024-05-01 12:00:00 starting",
    "Namespace(lr=0.1, epoch=100, loss='mse', dropout=0.1, loss_weight=2.0)",
    "{'learning_rate': 0.001, 'epochs': 10, 'loss_weight': 0.5, 'batch_size': 8, 'name': 'x', 'seed': 3}",
    "Step 1: Download the data",
    "the first step of many",
    "PING: 10 packets transmitted, 0% packet loss",
    "val loss 3.2812",
    "250 val 3.2812",
    "Saved checkpoint at step 1000",
    "episode 10 reward 200.5",
    "Step 2/5: preprocessing the data",
    "connection error 3 times, loss of signal at 12:30:05",
    "2024-05-01 12:00:00,123 - INFO - reading /data/2024/step_100/loss_3.txt",
    "torch 2.9.0, cuda 12.4, python 3.11.2",
    '{"epochs": 10, "learning_rate": 0.1, "loss": "mse", "steps": 500}',
    "config(loss=0.5, step=3)",
    "usage: train.py [--steps 5] [--loss 3.5]",
    "Tokenizing (num_proc=4):  10%|█         | 100/1000 [00:01<00:09, 99.0 examples/s]",
    "the accuracy was 5 times better in step 3 of the other run",
]
