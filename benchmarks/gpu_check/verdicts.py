"""The verdicts of a check: its targets, judged by what was measured; what was not measured is None."""

from __future__ import annotations

from typing import Any, Sequence

from benchmarks.gpu_check.engines import LARGEST_GROWTH_BYTES
from benchmarks.gpu_check.record import RAN, BuiltCheck, KernelCheck, LanesCheck, LatencyCheck, SoakCheck, Step, Verdict
from edge.records import record_from_json

MOST_OUTSIDE_PERCENT = 15.0
MOST_OVER_BARE = 1.10
WANTED_OPENS = 200

_NOT_MEASURED = "not measured"


def judge(steps: Sequence[Step], target: str) -> tuple[Verdict, ...]:
    """Judge every target by the steps so far.

    Args:
        steps: Steps that have been run or skipped so far.
        target: Name of the network that speeds are judged by, as in the names of steps ("fast_scnn 1024x2048").

    Returns:
        One verdict for each target, measured or not, in a fixed order.
    """
    found = {step.name: step for step in steps}
    latency = {
        precision: _result(found, f"latency {target} {precision}", LatencyCheck)
        for precision in ("float32", "float16", "int8")
    }
    return (
        _kernels(_result(found, "kernels", KernelCheck), found),
        _agreement(steps),
        _lanes([step for step in steps if step.kind == "lanes"]),
        *(_outside(target, precision, latency[precision]) for precision in ("float16", "int8")),
        *(_over_bare(target, precision, latency[precision]) for precision in ("float16", "int8")),
        _int8_faster(target, latency["int8"], latency["float16"]),
        _graph(target, latency["float16"] or latency["int8"] or latency["float32"]),
        _soak(next((step for step in steps if step.kind == "soak" and step.status == RAN), None)),
    )


def _result(found: dict[str, Step], name: str, kind: Any) -> Any:
    step = found.get(name)
    return record_from_json(kind, step.result, name) if step is not None and step.status == RAN else None


def _kernels(checked: KernelCheck | None, found: dict[str, Step]) -> Verdict:
    what, wanted = "kernels equal the reference", "0 values further off than allowed"
    if checked is None:
        reason = found["kernels"].reason if "kernels" in found else None
        return Verdict(what, wanted, None, "cases", None, reason or _NOT_MEASURED)
    wrong = [case for case in checked.cases if not case.is_right()]
    named = "; ".join(f"{case.kernel} ({case.case}): {case.differing} of {case.values}" for case in wrong[:3])
    return Verdict(what, wanted, float(len(wrong)), "cases", not wrong, named or f"{len(checked.cases)} cases")


def _agreement(steps: Sequence[Step]) -> Verdict:
    what, wanted = "engines built and their labels agree", "every engine"
    builds = [step for step in steps if step.kind == "build" and step.status != "skipped"]
    if not builds:
        return Verdict(what, wanted, None, "engines", None, _NOT_MEASURED)
    wrong = [step.name for step in builds if step.status != RAN or step.problems]
    ran = [record_from_json(BuiltCheck, step.result, step.name) for step in builds if step.status == RAN]
    judged = [built for built in ran if built.check is not None and built.weights != "random"]
    reason = f"{len(builds)} engines, {len(judged)} of trained weights, of which alone labels say something"
    right = float(len(builds) - len(wrong))
    return Verdict(what, wanted, right, "engines", not wrong, f"wrong: {', '.join(wrong)}" if wrong else reason)


def _lanes(steps: Sequence[Step]) -> Verdict:
    what, wanted = "labels of pipelined and of recorded frames are the host's", "0 pixels that differ"
    checks = [record_from_json(LanesCheck, step.result, step.name) for step in steps if step.status == RAN]
    if not checks:
        reasons = [step.reason for step in steps if step.reason]
        return Verdict(what, wanted, None, "pixels", None, reasons[0] if reasons else _NOT_MEASURED)
    differing = sum(run.differing for checked in checks for run in checked.runs)
    doubts = [doubt for doubt in map(_lanes_doubt, checks) if doubt is not None]
    if doubts and (len(doubts) == len(checks) or not differing):
        return Verdict(what, wanted, None, "pixels", None, "; ".join(doubts))
    runs = [(checked.precision, run) for checked in checks for run in checked.runs]
    wrong = [f"{precision}, {run.name()}: {run.differing} of {run.pixels}" for precision, run in runs if run.differing]
    recorded = sum(run.is_recorded for _, run in runs)
    told = f"{len(checks)} engines, up to {max(run.depth for _, run in runs)} frames in flight; "
    told += f"{recorded} lanes recorded, {len(runs) - recorded} call by call"
    return Verdict(what, wanted, float(differing), "pixels", not differing, "; ".join(wrong) or told)


def _lanes_doubt(checked: LanesCheck) -> str | None:
    """Return the reason why a comparison of lanes proves nothing; None where it proves something."""
    if not checked.runs:
        return f"no lanes: {checked.kernels}"
    if checked.host_differing:
        return f"the {checked.precision} engine's own labels change from run to run: {checked.host_differing} pixels"
    if checked.different_labels < checked.different_frames:
        found = f"{checked.different_labels} label maps of {checked.different_frames} frames"
        return f"{found}, so that a wrong slot of the {checked.precision} engine need not show"
    return None


def _outside(target: str, precision: str, measured: LatencyCheck | None) -> Verdict:
    what, wanted = f"time outside the {precision} engine, {target}", f"at most {MOST_OUTSIDE_PERCENT:g} %"
    if measured is None:
        return Verdict(what, wanted, None, "%", None, _NOT_MEASURED)
    percent = 100.0 * measured.outside_share()
    stages = ", ".join(f"{stage} {mean_ms:.3f}" for stage, mean_ms in measured.stages_ms.items())
    reason = f"{measured.synchronous_ms:.3f} ms end to end, of which in ms: {stages}"
    return Verdict(what, wanted, percent, "%", percent <= MOST_OUTSIDE_PERCENT, reason)


def _over_bare(target: str, precision: str, measured: LatencyCheck | None) -> Verdict:
    what = f"pipelined time per frame over the bare {precision} engine, {target}"
    wanted = f"at most {MOST_OVER_BARE:.2f} times"
    if measured is None:
        return Verdict(what, wanted, None, "times", None, _NOT_MEASURED)
    peer_ms, peer = measured.peer_ms()
    best = measured.best_pipelined()
    if best is None or peer_ms <= 0:
        in_flight = max((one.frames_in_flight for one in measured.pipelined), default=1)
        why = f"frames in flight: {in_flight}, {peer}: {peer_ms:.3f} ms"
        return Verdict(what, wanted, None, "times", None, why)
    ratio = best.frame_ms / peer_ms
    others = ", ".join(f"{one.frame_ms:.3f} with {one.frames_in_flight}" for one in measured.pipelined if one != best)
    reason = f"{best.frame_ms:.3f} ms a frame with {best.frames_in_flight} in flight, {peer} {peer_ms:.3f} ms"
    if others:
        reason += f" ({others})"
    return Verdict(what, wanted, ratio, "times", ratio <= MOST_OVER_BARE, reason)


def _int8_faster(target: str, int8: LatencyCheck | None, float16: LatencyCheck | None) -> Verdict:
    what, wanted = f"int8 against float16, {target}", "more than 1 times as fast"
    if int8 is None or float16 is None:
        return Verdict(what, wanted, None, "times", None, _NOT_MEASURED)
    has_both = int8.trtexec_ms is not None and float16.trtexec_ms is not None
    int8_ms, float16_ms = (int8.trtexec_ms, float16.trtexec_ms) if has_both else (int8.bare_ms, float16.bare_ms)
    if int8_ms <= 0:
        return Verdict(what, wanted, None, "times", None, f"int8 took {int8_ms} ms")
    ratio = float16_ms / int8_ms
    reason = f"int8 {int8_ms:.3f} ms, float16 {float16_ms:.3f} ms"
    if ratio <= 1.0:
        slow = [f"{layer.name} [{layer.kind}] {layer.mean_ms:.3f} ms" for layer in int8.slowest_layers[:4]]
        reason += f"; slowest layers of int8: {', '.join(slow) or 'not known'}"
    return Verdict(what, wanted, ratio, "times", ratio > 1.0, reason)


def _graph(target: str, measured: LatencyCheck | None) -> Verdict:
    what, wanted = f"a frame is one CUDA graph, {target}", "yes"
    if measured is None or measured.cuda_graph is None:
        reason = str(measured.runner.get("kernels", _NOT_MEASURED)) if measured is not None else _NOT_MEASURED
        return Verdict(what, wanted, None, "", None, reason)
    is_used = measured.cuda_graph == "yes"
    return Verdict(what, wanted, float(is_used), "", is_used, measured.cuda_graph)


def _soak(step: Step | None) -> Verdict:
    what = f"GPU memory gone after {WANTED_OPENS} opens"
    wanted = f"at most {LARGEST_GROWTH_BYTES >> 20} MiB"
    if step is None:
        return Verdict(what, wanted, None, "MiB", None, _NOT_MEASURED)
    soak = record_from_json(SoakCheck, step.result, step.name)
    grown_mib = soak.grown_bytes() / 2**20
    if soak.opens < WANTED_OPENS and soak.grown_bytes() <= LARGEST_GROWTH_BYTES:
        reason = f"{grown_mib:.1f} MiB after {soak.opens} opens of {WANTED_OPENS}"
        return Verdict(what, wanted, None, "MiB", None, reason)
    is_met = soak.grown_bytes() <= LARGEST_GROWTH_BYTES
    return Verdict(what, wanted, grown_mib, "MiB", is_met, f"{soak.opens} opens and closes")
