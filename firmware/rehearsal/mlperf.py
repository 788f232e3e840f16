"""The conversation of EEMBC's runner with MLPerf Tiny's firmware, through a serial port."""

from cortex_m import Fault

READY = b"m-ready\r\n"
# Bytes of input in one command.
PIECE = 32


def commands(pixels):
    """What the runner says, in order."""
    pieces = [pixels[at : at + PIECE] for at in range(0, len(pixels), PIECE)]
    said = ["name", "profile", f"db load {len(pixels)}"]
    said += [f"db {piece.hex()}" for piece in pieces]
    return [f"{one}%".encode() for one in [*said, "infer 1 0", "results"]]


def check(said, pixels, logits):
    """Refuses answers that are not those of a firmware that computes `logits` (Q16.16)."""
    text = said.decode(errors="replace")
    answers = [answer.split("\r\n")[:-1] for answer in text.split("m-ready\r\n")]
    sent = commands(pixels)
    if len(answers) != len(sent) + 2 or answers[-1] != []:
        raise Fault(
            f"{len(answers) - 2} of {len(sent)} commands are answered: {text[-200:]}"
        )
    _start, name, profile, load, *pieces, infer, results, _end = answers
    thousandths = [(abs(logit) * 1000 + (1 << 15)) >> 16 for logit in logits]
    expected = ",".join(
        f"{'-' if logit < 0 else ''}{part // 1000}.{part % 1000:03}"
        for logit, part in zip(logits, thousandths, strict=True)
    )
    expected = f"m-results-[{expected}]"
    for found, wanted in (
        (name, ["m-name-dut-[tadpool]"]),
        (profile[1:], ["m-model-[ic01]"]),
        (load, [f"m-[Expecting {len(pixels)} bytes]"]),
        (pieces, [[]] * (len(pieces) - 1) + [["m-load-done"]]),
        (infer[-1:], [expected]),
        (results, [expected]),
    ):
        if found != wanted:
            raise Fault(f"the answer is {found}, not {wanted}")
