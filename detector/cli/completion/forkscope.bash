# bash completion for forkscope(1).

# Completes the command that `forkscope run`, `sweep` or `exposure` is to run, as sudo and env are completed.
_forkscope_run_command() {
  local i
  for ((i = 2; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --)
        i=$((i + 1))
        break
        ;;
      --json | --sarif | --junit | --on-deadlock | --fail-on | --error-exitcode | --timeout | --watch | --session | --colour | --color | --check | --unsafe-calls | \
        --seconds | --interval | --jobs | --folder | --seed | \
        --suppressions | --baseline | --write-baseline)
        # bash splits --option=value at the '='.
        if [[ ${COMP_WORDS[i + 1]} == = ]]; then i=$((i + 2)); else i=$((i + 1)); fi
        ;;
      --inject)
        i=$((i + 1))
        [[ ${COMP_WORDS[i]} == = ]] && i=$((i + 1))
        # point:action=value are several words to bash.
        while [[ ${COMP_WORDS[i + 1]} == [:=] ]]; do i=$((i + 2)); done
        ;;
      -*) ;;
      *) break ;;
    esac
  done
  ((i <= COMP_CWORD)) || return 1
  [[ $i -lt $COMP_CWORD || ${COMP_WORDS[COMP_CWORD - 1]} == -- ||
    ${COMP_WORDS[COMP_CWORD]} != -* ]] || return 1
  if declare -F _command_offset >/dev/null; then
    _command_offset "$i"
  elif [[ $i -eq $COMP_CWORD ]]; then
    mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
  else
    compopt -o default
  fi
}

_forkscope() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local subcommand=${COMP_WORDS[1]}
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W "run attach scan sweep exposure report scenario --help --version" -- "$current")
    mapfile -t COMPREPLY < <(compgen -W "run attach scan exposure report bench scenario --help --version" -- "$current")
    return
  fi
  # `--option=va`: the words are --option, =, va.
  [[ $current == = ]] && current=
  [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}
  case $subcommand:$previous in
    run:--on-deadlock)
      mapfile -t COMPREPLY < <(compgen -W "report kill abort exit:1 break" -- "$current")
      return
      ;;
    sweep:--fail-on)
      mapfile -t COMPREPLY < <(compgen -W "deadlock" -- "$current")
      return
      ;;
    run:--fail-on)
      mapfile -t COMPREPLY < <(compgen -W "deadlock probable latent hazard note only:latent" -- "$current")
      return
      ;;
    *:--colour | *:--color)
      mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$current")
      return
      ;;
    *:--session | sweep:--folder)
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      compopt -o filenames
      return
      ;;
    bench:--compare | bench:--from | bench:--html | bench:--python | \
      *:--json | *:--sarif | *:--junit | *:--suppressions | *:--baseline | *:--write-baseline)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      compopt -o filenames
      return
      ;;
    attach:--core)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      compopt -o filenames
      return
      ;;
    scan:--user)
      mapfile -t COMPREPLY < <(compgen -u -- "$current")
      return
      ;;
    run:--unsafe-calls)
      mapfile -t COMPREPLY < <(compgen -W "on off" -- "$current")
      return
      ;;
    run:--check)
      mapfile -t COMPREPLY < <(compgen -W "descriptors" -- "$current")
      return
      ;;
    run:--inject)
      # A colon ends a word for bash: what follows the point is completed alone.
      mapfile -t COMPREPLY < <(compgen -W "help fork:while-held fork:while-in fork:fail=EAGAIN \
        fork:probe,every=1000 fork:delay= vfork:fail=ENOMEM clone:fail=EPERM posix_spawn:fail=ENOENT exec:fail=ENOENT \
        pthread_create:fail=EAGAIN lock:hold= lock:yield trylock:busy timedlock:timeout \
        thread:slow-start" -- "$current")
      return
      ;;
    run:--watch)
      mapfile -t COMPREPLY < <(compgen -W "100ms 1s off" -- "$current")
      return
      ;;
    exposure:--interval)
      mapfile -t COMPREPLY < <(compgen -W "1ms 10ms" -- "$current")
      return
      ;;
    run:--error-exitcode | run:--timeout | run:--seed | exposure:--seconds | bench:--filter) return ;;
    sweep:--error-exitcode | sweep:--timeout | sweep:--jobs | sweep:-j | sweep:--seed) return ;;
    bench:--memory)
      mapfile -t COMPREPLY < <(compgen -W "64MiB 1GiB 4GiB" -- "$current")
      return
      ;;
  esac
  case $subcommand in
    run)
      _forkscope_run_command && return
      mapfile -t COMPREPLY < <(compgen -W "--json --sarif --junit --on-deadlock --fail-on --error-exitcode \
        --timeout --unsafe-calls --check --inject --seed --watch --quiet --verbose --log-file --session --suppressions --baseline --write-baseline \
        --colour --help" -- "$current")
      ;;
    sweep)
      _forkscope_run_command && return
      mapfile -t COMPREPLY < <(compgen -W "--jobs --folder --plan --json --timeout --seed --fail-on \
        --error-exitcode --verbose --colour --help" -- "$current")
      ;;
    attach)
      if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--stacks --follow-parent --core --json --sarif --junit --verbose \
          --colour --help" -- "$current")
      else
        mapfile -t COMPREPLY < <(cd /proc && compgen -G '[0-9]*' -- "$current" |
          grep "^$current")
      fi
      ;;
    exposure)
      # A PID or a command: both are offered at the first word.
      local -a pids=()
      [[ $current == [0-9]* ]] &&
        mapfile -t pids < <(cd /proc && compgen -G '[0-9]*' -- "$current" | grep "^$current")
      if [[ ${#pids[@]} -gt 0 ]]; then
        COMPREPLY=("${pids[@]}")
      else
        _forkscope_run_command && return
        mapfile -t COMPREPLY < <(compgen -W "--seconds --interval --json --verbose --colour \
          --help" -- "$current")
      fi
      ;;
    scan)
      mapfile -t COMPREPLY < <(compgen -W "--user --json --sarif --junit --verbose --suppressions --colour --help" -- \
        "$current")
      ;;
    report)
      if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--json --sarif --junit --verbose --suppressions --baseline \
          --write-baseline --colour --help" -- "$current")
      else
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        compopt -o filenames
      fi
      ;;
    bench)
      mapfile -t COMPREPLY < <(compgen -W "--quick --full --html --json --filter --list --python \
        --memory --compare --from --help" -- "$current")
      ;;
    scenario)
      if [[ $COMP_CWORD -eq 2 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "list show run new --help" -- "$current")
      elif [[ ${COMP_WORDS[2]} == run && $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--all --method --how --under --repeat --jobs \
          --patience --json --junit --markdown --help" -- "$current")
      elif [[ ${COMP_WORDS[2]} == show && $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--source --brief --help" -- "$current")
      elif [[ ${COMP_WORDS[2]} == list ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--markdown --help" -- "$current")
      elif [[ ${COMP_WORDS[2]} == run || ${COMP_WORDS[2]} == show ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(forkscope scenario list 2>/dev/null |
          sed -n '2,$s/^\([a-z][^ ]*\) .*/\1/p')" -- "$current")
      fi
      ;;
  esac
}

complete -F _forkscope forkscope
