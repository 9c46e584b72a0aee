#!/bin/sh
# Run a sweep in the background, detached from this terminal:  ./bg_experiment.sh SPEC [training|simulation]
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd) || exit
case ${1-} in
    "" | -h | --help)
        echo "usage: $0 SPEC [training|simulation]    see docs/sweeps.md" >&2
        exit 2
        ;;
esac
spec=$1
shift
case ${1-} in
    "" | -*) ;;
    *)
        mode=$1
        shift
        set -- --mode "$mode" "$@"
        ;;
esac
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" "$here/scripts/run_background.py" --experiment "$spec" "$@"
