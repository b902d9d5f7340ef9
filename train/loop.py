"""The training loop: keras.Model.fit, with mIoU after each epoch and the best weights kept."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from edge.accuracy import Accuracy, measure_accuracy
from edge.artifacts import atomic_path, sha256_file
from edge.console import Progress, format_seconds, print_status
from edge.datasets import Dataset
from edge.errors import InputError, SegEdgeError, StorageError
from edge.postprocess import upsample_argmax
from edge.preprocess import prepare_rgb
from edge.records import write_record
from train.augment import Augmentation
from train.data import TrainingPipeline, class_shares
from train.initial_weights import InitialWeights, transfer
from train.losses import balanced_class_weights, training_losses
from train.models import model_spec
from train.models.base import inference_model
from train.options import HALF_PIXEL, training_options
from train.recipes import Recipe
from train.runs import BEST_WEIGHTS, FAILED, FINISHED, INTERRUPTED, RUN_RECORD, RUNNING, RunRecord


def keras_labeller(model: keras.Model, height: int, width: int, coordinates: str = HALF_PIXEL):
    """Return a function that labels frames with a Keras model, in the form that edge.accuracy calls.

    Args:
        model: inference model for frames of height x width.
        height: rows of the model's input.
        width: columns of the model's input.
        coordinates: coordinate rule of the upsampling of the logits, as in the network's contract.
    """
    # One traced graph: predict() builds a data pipeline around every single frame.
    forward = tf.function(lambda frames: model(frames, training=False))

    def label_frame(frame_rgb: np.ndarray, label_height: int, label_width: int) -> np.ndarray:
        logits = forward(tf.constant(prepare_rgb(frame_rgb, height, width))).numpy()[0]
        return upsample_argmax(np.ascontiguousarray(logits.transpose(2, 0, 1)), label_height, label_width, coordinates)

    return label_frame


def _optimizer(recipe: Recipe, steps: int, model: keras.Model) -> keras.optimizers.Optimizer:
    rate = keras.optimizers.schedules.PolynomialDecay(recipe.learning_rate, steps, 0.0, recipe.power)
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, weight_decay=recipe.weight_decay)
    else:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    # Decay pulls norms and depthwise filters, which have few weights each, off their scale.
    undecayed = [
        variable
        for layer in model.layers
        if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.DepthwiseConv2D))
        for variable in layer.trainable_variables
    ]
    if undecayed:
        optimizer.exclude_from_weight_decay(var_list=undecayed)
    return optimizer


class _ValidateEachEpoch(keras.callbacks.Callback):
    """A callback that, after each epoch, measures mIoU, keeps the best weights and writes run.json."""

    def __init__(
        self,
        folder: Path,
        run: RunRecord,
        validation: Dataset,
        trained: keras.Model,
        evaluator: keras.Model,
        steps: int,
        coordinates: str,
    ) -> None:
        super().__init__()
        self.folder, self.run = folder, run
        self._validation, self._trained, self._evaluator = validation, trained, evaluator
        self._label_frame = keras_labeller(inference_model(evaluator), run.height, run.width, coordinates)
        self._start_s = self._epoch_start_s = time.perf_counter()
        self._epoch = 0
        self._epochs = int(run.recipe["epochs"])
        self._progress = Progress("train", self._epochs * steps, "step", log_every_s=30.0)
        self._wrong_step = ""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._epoch_start_s = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            self._wrong_step = f"epoch {self._epoch + 1}, step {batch + 1}"
            self.model.stop_training = True
        self._progress.step(f"epoch {self._epoch + 1}/{self._epochs}, loss {loss:.4f}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._progress.clear()
        if self._wrong_step:
            raise self._diverged(f"the loss is not finite at {self._wrong_step}")
        self._evaluator.set_weights(self._trained.get_weights())
        try:
            accuracy = measure_accuracy(self._label_frame, self._validation)
        except InputError as error:
            if "NaN or infinite" not in str(error):
                raise
            # The last step spoilt the weights, after the last loss was seen.
            raise self._diverged(f"logits are NaN or infinite after epoch {epoch + 1}") from None
        self._keep(epoch, float((logs or {}).get("loss", np.nan)), accuracy)
        elapsed_s = time.perf_counter() - self._start_s
        left_s = elapsed_s / (epoch + 1) * (self._epochs - epoch - 1)
        best = " (best)" if self.run.best_epoch == epoch + 1 else f" (best {100 * self.run.best_miou:.2f} %)"
        print_status(
            f"epoch {epoch + 1}/{self._epochs}: loss {self.run.history[-1]['loss']:.4f}, "
            f"val mIoU {100 * accuracy.miou:.2f} %{best}, "
            f"{format_seconds(elapsed_s)} gone, {format_seconds(left_s)} left"
        )

    def _diverged(self, what: str) -> SegEdgeError:
        rate = self.run.recipe["learning_rate"]
        return SegEdgeError(f"training diverged: {what}. Next: a smaller --learning-rate than {rate}")

    def _keep(self, epoch: int, loss: float, accuracy: Accuracy) -> None:
        entry = {
            "epoch": epoch + 1,
            "loss": loss,
            "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
            "miou": accuracy.miou,
            "class_iou": accuracy.class_iou,
            "seconds": time.perf_counter() - self._epoch_start_s,
        }
        changes: dict = {"history": (*self.run.history, entry)}
        if self.run.best_miou is None or accuracy.miou > self.run.best_miou:
            path = self.folder / BEST_WEIGHTS
            with atomic_path(path) as temporary:
                # The evaluator holds the same weights and no optimizer, whose slots would triple the file.
                self._evaluator.save_weights(temporary, overwrite=True)
            changes.update(best_epoch=epoch + 1, best_miou=accuracy.miou, weights_sha256=sha256_file(path))
        self.write(**changes)

    def write(self, **changes) -> None:
        self.run = dataclasses.replace(self.run, **changes)
        write_record(self.folder / RUN_RECORD, self.run)


def train(
    model_name: str,
    training: Dataset,
    validation: Dataset,
    recipe: Recipe,
    folder: Path,
    seed: int = 0,
    options: dict | None = None,
    initial: InitialWeights | None = None,
) -> RunRecord:
    """Train a model and keep the weights of its best epoch.

    Args:
        model_name: key in train.models.MODELS.
        training: labelled split to learn from.
        validation: labelled split that decides which epoch is best.
        recipe: settings of the training.
        folder: run folder, which is created here.
        seed: seed of the initial weights, of the order of frames and of the augmentation.
        options: options of the architecture that the user or the recipe set; ignored with `initial`, which has its
            own.
        initial: weights to start from; None for random ones.

    Returns:
        The record of the run, as written to the folder.

    Raises:
        SizeError: the model cannot take the recipe's sizes.
        DatasetError: a pair cannot be read.
        SegEdgeError: the loss is not finite any more.
    """
    spec = model_spec(model_name)
    options = training_options(model_name, initial.options if initial is not None else options or {})
    spec.check_size(recipe.height, recipe.width)
    crop_height, crop_width = recipe.crop_height or recipe.height, recipe.crop_width or recipe.width
    spec.check_size(crop_height, crop_width)
    keras.utils.set_random_seed(seed)
    class_count, coordinates = training.table.class_count, spec.coordinates(options)
    steps = max(1, len(training) // recipe.batch_size)
    # With fewer frames than a batch, tf.data repeats them until the batch is full.
    augmentation = Augmentation(recipe.scale_min, recipe.scale_max)
    network_size = (recipe.height, recipe.width)
    pipeline = TrainingPipeline(training, crop_height, crop_width, recipe.batch_size, augmentation, seed, network_size)
    weights = balanced_class_weights(class_shares(training)) if recipe.balanced else np.ones(class_count, np.float32)
    devices = len(tf.config.list_physical_devices("GPU"))
    strategy = tf.distribute.MirroredStrategy() if devices > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        whole = spec.build(crop_height, crop_width, class_count, **options)
        if initial is not None:
            print_status("\n".join(transfer(initial, whole, class_count).lines(initial.origin)))
        losses, loss_weights = training_losses(spec, whole.output, class_count, weights, coordinates)
        # Without the outputs that no loss is for: no gradient would reach the layers behind them.
        model = keras.Model(whole.input, {name: whole.output[name] for name in losses}, name=whole.name)
        optimizer = _optimizer(recipe, steps * recipe.epochs, model)
        # Its variables exist before the first step is traced: a step that makes variables is traced twice.
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, losses, loss_weights=loss_weights)
    evaluator = spec.build(recipe.height, recipe.width, class_count, **options)

    run = RunRecord(
        model=model_name,
        dataset=training.name,
        data_dir=str(training.root),
        class_count=class_count,
        height=recipe.height,
        width=recipe.width,
        options=options,
        recipe=dataclasses.asdict(recipe),
        init=initial.origin if initial is not None else "random",
        seed=seed,
        started_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        status=RUNNING,
        versions={"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__},
        validation_frames=len(validation),
        skipped_frames=tuple(f"{part.split}/{name}" for part in (training, validation) for name in part.skipped),
    )
    callback = _ValidateEachEpoch(folder, run, validation, whole, evaluator, steps, coordinates)
    callback.write()
    targets = pipeline.batches.map(lambda frames, labels: (frames, dict.fromkeys(losses, labels)))
    try:
        model.fit(targets, epochs=recipe.epochs, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[callback])
    except KeyboardInterrupt:
        callback.write(status=INTERRUPTED)
        raise
    except Exception:
        # Whatever ended it, the record says so: a run that stays "running" would look alive for ever.
        with contextlib.suppress(StorageError):
            callback.write(status=FAILED)
        if pipeline.failure is not None:
            raise pipeline.failure from None
        raise
    callback.write(status=FINISHED)
    return callback.run
