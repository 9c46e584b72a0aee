"""What a line of a program's output is: a progress bar, a warning, a launcher's footer, an error. Pure functions.

Patterns are compiled when they are first used: most jobs complete, and their supervisors should not pay for them.
"""

from __future__ import annotations

import re

ESCAPES = r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)"
#: What launchers write before the lines of a process: torchrun's [rank0]:, ray's (train pid=7), MPI's [1,0]<stderr>:
PREFIX = r"\s*(?:\[(?:rank|default|Rank )?\d+\]:\s?|\(\S+ pid=\d+[^)]*\)\s|\[\d+,\d+\]<std(?:out|err)>:\s?)"

#: A logger's level below ERROR, at the beginning, after a time or a name, or in brackets.
LEVELS = (
    r"^\W*(?:INFO|DEBUG|TRACE|WARN|WARNING|NOTICE)\b"
    r"|^[\W\d_T]{8,40}(?:[\w.]{1,40}\W{1,4})?(?:INFO|DEBUG|TRACE|WARN|WARNING|NOTICE)\b"
    r"|[\[|(<\s](?:INFO|DEBUG|TRACE|WARN|WARNING|NOTICE)\s*[\]|)>:]"
    r"|^\[?[IWD]\d{4} \d\d:\d\d:\d\d|^\[[WI]\b[^\]]*\]"
)
WARNING = (
    r"^\S*:\d+: \w*Warning\b|^(?:\w+\.)*\w*Warning: |^\W*(?:warning|deprecat\w*|hint|note|tip)\b\s*[:(\[]"
    r"|^In addition: Warning|^Warning messages?:|^\(node:\d+\) (?!\w*Error)|^\(Use `node "
)
WARNED_CODE = r"^\s+(?:warnings\.warn|warn)\("  # the line of code below a Python warning
#: Lines of a tool that wraps the training, of an interpreter that leaves, and of a launcher that reports a failure.
FOOTER = (
    r"^\s*wandb:|^\W*(?:View run|Synced \d|Find logs at|Run (?:history|summary):)"
    r"|^srun: |^slurmstepd: (?!.*oom)|^make(?:\[\d+\])?: |^npm (?:ERR!|error) |^error Command failed|^info Visit https"
    r"|^ERROR conda\.cli\.main_run|^Command exited with|^exit status \d+$|^Execution halted|^Calls: |^Node\.js v\d"
    r"|^(?:\S+: line \d+: +\d+ |\S+: )?Aborted\b|^Extension modules: |^Call stack:|^Message: |^Arguments: "
    r"|torch[./]distributed[./](?:elastic|launcher|run)|failed \(exitcode: |closing signal SIG|^\s*CHILD PROCESS FAILED"
    r"|(?:returned non-zero exit status|exited with (?:exit )?code|\bexit(?:ed)? (?:code|status)[ :=]+)\s*-?\d+"
    r"|^Exception ignored in|^Error in (?:atexit|sys)\.|^--- Logging error ---|was never retrieved$|^future: <Task"
    r"|resource_tracker|leaked (?:semaphore|shared_memory)|process group has NOT been destroyed"
    r"|^(?:Primary job|mpirun)|^note: run with `RUST_BACKTRACE|^stack backtrace:|^goroutine \d+ "
    r"|\b(?:training|run|job|script|process|program|main|experiment) (?:has )?(?:failed|aborted|terminated|crashed)\W*$"
    r"|^\W*(?:exiting|shutting down|cleaning up|terminating)\b"
    r"|^Set the environment variable HYDRA|^For simplicity, JAX has removed"
    r"|^(?:try|for) (?:['\"`]|more information|detailed information)|^Pass --help"
)
#: The lines of torchrun's table after a failure.
REPORT = (
    r"^\[\d+\]:$|^\s+(?:time|host|rank|exitcode|error_file|traceback) *: |^Failures:|^Root Cause|^\s+<NO_OTHER"
    r"|^\S+ FAILED$"
)
#: What the C++ runtime and the interpreter print of threads that are still there when a program ends after an error.
AFTERMATH = (
    r"^terminate called (?:without an active exception|recursively)"
    r"|^libc\+\+abi: terminating$|^pure virtual method called"
    r"|^Fatal Python error: .*at interpreter shutdown|^Python runtime state: |^Current thread 0x|^ +<no Python frame>"
)
RULE = r"^[\s=\-_*#~+|<>╭╮╰╯│─┌┐└┘━┃┏┓┗┛]*$"
LONGEST = 1000  # characters of a line that are looked at
BOX = RULE + r"|^\s*[│┃╭╰┌└┏┗].*[│┃╮╯┐┘┓┛]\s*$|^\s*[╭┌┏]"
BAR = (
    r"\d+%\|.*\||\d+%[ |]*[█▏▎▍▌▋▊▉━#=>.╸╺-]{3,}|[█▏▎▍▌▋▊▉━]{3,}|\[[#=>.\- ]{6,}\]\s*\d*|\d+/\d+ \[[=>.]+\]"
    r"|\d(?:s/it|it/s)\b|\?(?:it/s|s/it)\b"
)
PROGRESS = (
    r"\b(?:iter(?:ation)?|step|epoch|batch|global_step)s?\b[\s:=\[#(]*\d+"
    r"|\b(?:\w+[_/ ])?(?:loss|acc|accuracy|ppl|perplexity)['\"]?\s*[:=]\s*-?(?:\d|nan|inf)"
)
FRAME = (  # of a stack: Python, Node, Java, Julia, Rust, Go, C
    r"^\s+at \S|^\s*File \"|^> File \"|^\s*\[\d+\] \S+\(|^\s+@ |^\s+\d+: |^\s*#\d+ |^\s+\.\.\. \d+ more|^\t/\S+:\d+"
    r"|^\s*frame #\d+|^in expression starting at|^\s*[~^]+\s*$|^Stacktrace:|^(?:Current thread|Thread) 0x"
    r"|^\s+throw (?:new )?\w|^\s+raise \w"
)
USAGE = r"^\s*usage(?: of \S+)?:"

WORDS = (
    r"\b(?:error|fatal|critical|panic(?:ked)?|exception|segfault|segmentation fault|illegal instruction|bus error|"
    r"assertion|core dumped|floating point exception|stack overflow|stack smashing|double free|oom[-_ ]?kill\w*)\b"
    r"|^\s*what\(\):"
)
NAMES = (
    r"\w(?:Error|Exception|Failure|Interrupt)\b|\bKilled\b|\bKILLED\b|\bE[A-Z]{5,}: |\bassert\b.*\bfail"
    r"|\bSIG(?:SEGV|KILL|ABRT|BUS|TERM)\b|\bC(?:UBLAS|UDNN)_STATUS_(?!SUCCESS)"
)
#: Errors that are numbers, which a training prints every few seconds, and other words that only look like an error.
MEASURED = (
    r"\berrors?\b\s*(?:rate)?['\"]?\s*[:=(]*\s*[-+]?(?:\d*\.\d|0\b|nan|inf|\[\]|None)"
    r"|\b(?:no|0|without|zero) (?:\w+ )?errors?\b"
    r"|\b(?:squared|absolute|mean|relative|standard|reconstruction|prediction|top-?\d|word|character|bit|quantization|"
    r"approximation|percentage) error\b|_error['\"]?\s*[:=]\s*[-+\d]"
)
PERHAPS = (
    r"\b(?:failed|failure|cannot|can't|could not|couldn't|unable to|not found|no such|denied|out of memory|"
    r"not permitted|refused|abort(?:ed|ing)?|invalid|missing|undefined|unrecognized|unknown|does not exist|timed out|"
    r"no space left|corrupt(?:ed)?)\b"
)


def clean(lines: list[str]) -> list[str]:
    """The lines without colours and launchers' prefixes, and the messages of a drawn box with the title Error."""
    cleaned = []
    inside = False
    for line in lines:
        line = without_prefix(re.sub(ESCAPES, "", line) if "\x1b" in line else line).rstrip()
        if line.lstrip().startswith(("╭", "┌", "┏")):
            inside = re.match(r"\s*[╭┌┏][─━ ]*(?:\w+ )?(?:error|unrecognized|invalid|missing)", line, re.I) is not None
        elif inside and line.lstrip().startswith(("│", "┃")):
            line = line.strip(" │┃")
        before, traceback, after = line.partition("Traceback (most recent call last):")
        if traceback and not after and is_bar(before):  # a bar does not end its line
            line = traceback
        cleaned.append(line[:LONGEST])
    return cleaned


def without_usage(lines: list[str]) -> list[str]:
    """The lines, of which those are empty that a program prints to say how it is called."""
    inside = False
    kept = []
    for line in lines:
        inside = is_usage(line) or (inside and line[:1] in (" ", "\t"))
        kept.append("" if inside else line)
    return kept


def without_prefix(line: str) -> str:
    return re.sub("^" + PREFIX, "", line, count=1) if process(line) else line


def process(line: str) -> str:
    """What a launcher wrote before the line: the process that it comes from; empty without a launcher."""
    found = re.match(PREFIX, line) if line.startswith(("[", "(", " ")) else None
    return found[0].strip() if found else ""


def is_bar(line: str) -> bool:
    return re.search(BAR, line) is not None


def is_progress(line: str) -> bool:
    """`iter 100: loss 2.3`, `Epoch 3/10`, `val error: 0.3`: a line of a training that goes on."""
    return re.search(f"{PROGRESS}|{MEASURED}", line, re.IGNORECASE) is not None and not says_error(line)


def is_log(line: str) -> bool:
    """A line of a logger at a level below ERROR, or a warning."""
    warns = re.search(WARNING, line, re.IGNORECASE) is not None or re.match(WARNED_CODE, line) is not None
    return warns or re.search(LEVELS, line) is not None


def is_footer(line: str) -> bool:
    """A line that says nothing of a cause and may follow the message of one, blank ones included."""
    found = re.search(REPORT, line) or re.search(FOOTER, line, re.IGNORECASE)
    return is_rule(line) or found is not None


def is_aftermath(line: str) -> bool:
    """A line that is a cause only if nothing else is one: the end of a program that had an error before."""
    return re.search(AFTERMATH, line) is not None


def is_rule(line: str) -> bool:
    """Blank, or a line that is drawn: of a box, below a title."""
    return re.match(BOX, line) is not None


def is_frame(line: str) -> bool:
    """A line of a stack trace."""
    return re.match(FRAME, line) is not None


def is_usage(line: str) -> bool:
    return re.match(USAGE, line, re.IGNORECASE) is not None


def says_error(line: str) -> bool:
    """The line says in clear words that something went wrong, and is not a measured value."""
    found = re.search(NAMES, line) or re.search(WORDS, line, re.IGNORECASE)
    return found is not None and _can_be_a_cause(line)


def may_say_error(line: str) -> bool:
    """The line has a word of failure that other lines have as well."""
    return re.search(PERHAPS, line, re.IGNORECASE) is not None and _can_be_a_cause(line)


def _can_be_a_cause(line: str) -> bool:
    if is_log(line) or is_bar(line) or is_frame(line) or is_footer(line) or is_usage(line):
        return False
    return re.search(MEASURED, line, re.IGNORECASE) is None
