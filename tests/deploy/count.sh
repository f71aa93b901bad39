# How a check is made and counted; sourced by every rung. One line per check, as a sentence about what holds; the
# output of one that fails is shown whole. A rung ends with `counted`, whose line tests/deploy/run adds up.
# shellcheck shell=bash

passed=0
failed=0
said=$(mktemp)

# check SENTENCE COMMAND…: runs it in a shell of its own, where the first command that fails is the end.
check() {
    local sentence=$1 started=$SECONDS code=0
    shift
    # Not `if (…)` or `(…) || …`: bash would then go on after a failed command.
    set +e
    (
        set -e
        "$@"
    ) >"$said" 2>&1 </dev/null
    code=$?
    set -e
    if [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
        printf '  ok      %s (%d s)\n' "$sentence" $((SECONDS - started))
    else
        failed=$((failed + 1))
        printf '  FAILED  %s (%d s)\n' "$sentence" $((SECONDS - started))
        awk '{ print "          " $0 }' "$said"
    fi
}

# fails_because TEXT COMMAND…: the command fails, and says that, wherever it has broken the line.
fails_because() {
    local text=$1 output code=0
    shift
    set +e
    output=$(
        set -e
        "$@" 2>&1
    )
    code=$?
    set -e
    printf '%s\n' "$output"
    [ "$code" -ne 0 ] && tr -s ' \n' ' ' <<<"$output" | grep -F -e "$text" >/dev/null
}

# show_output: the output of the last check.
show_output() {
    awk '{ print "          " $0 }' "$said"
}

# counted: the last line of a rung, and its exit code.
counted() {
    rm -f "$said"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

# within SECONDS COMMAND…: repeats it until it succeeds, or says that it never did.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "not in time: $*"
            return 1
        fi
        sleep 0.2
    done
}
