# The image's own Python by its own loader, neither of which reads a file or a variable of the stage's. What the loader
# heeds is put aside for as long as Python runs and is there again for the programs that it starts.
case ${LD_PRELOAD+1}${LD_AUDIT+1}${LD_LIBRARY_PATH+1}${LD_DEBUG+1}${LD_TRACE_LOADED_OBJECTS+1}${GLIBC_TUNABLES+1} in
?*)
    for _xx_l in LD_PRELOAD LD_AUDIT LD_LIBRARY_PATH LD_DEBUG LD_TRACE_LOADED_OBJECTS GLIBC_TUNABLES; do
        eval "[ -z \"\${$_xx_l+1}\" ] || { export _xx_kept_$_xx_l=\"\$$_xx_l\" && unset $_xx_l; }"
    done ;;
esac
# The kernel says what machine it is for; under QEMU `uname` says what the stage is for. What neither knows is tried: a
# file that the loader would have to run, which the shell reads as a script where it cannot. (What is not to be seen
# goes to a closed file: a stage need have no /dev/null.)
read -r _xx_l 2>&- </proc/sys/kernel/arch || _xx_l=
case $_xx_l in
@RUNS@) ;;
*)
    case $(uname -m 2>&-) in
    @RUNS@) ;;
    *)
        @HOME@/try >&- 2>&- || {
            echo "${0##*/}: this is the xx image for @PLATFORM@, which this stage cannot run:" \
                'write FROM --platform=$BUILDPLATFORM xx AS xx' >&2
            exit 126
        } ;;
    esac ;;
esac
exec @HOME@/ld.so --inhibit-cache --library-path @HOME@/lib @HOME@/bin/python3 -I -S -B -X utf8 @HOME@/start.pyc @MODULE@ @FUNCTION@ "$0" "$@"
