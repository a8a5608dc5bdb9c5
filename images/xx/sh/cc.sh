# The compilers' wrappers: where the target is set up and the command line asks for nothing of xx's own, the alias of
# the target's triple does the same, and clang is started without Python. What a set-up has left says which alias
# that is, whether it may link ("any") or only compile ("compile"), and for which platform it was made; clang must
# still be the one that it was made for.
_xx_l=${XX_CC_PREFER_COMPILER-}${XX_CC_PREFER_LINKER-}${XX_CC_PREFER_STATIC_LINKER-}${XX_CC_GLIBC-}${XX_CLANG-}
case ${0##*/}:$_xx_l${XX_STATE-}${ARM_TARGET_ARCH-}${RISCV64_TARGET_ARCH-} in
xx-cc: | xx-clang:) _xx_c=clang ;;
xx-c++: | xx-clang++:) _xx_c=clang++ ;;
clang: | clang++:)
    _xx_c=
    [ ! -e @ROOT@/var/lib/xx/autowrap ] || _xx_c=${0##*/} ;;
*) _xx_c= ;;
esac
_xx_does=link
for _xx_l do
    case $_xx_l in
    -target | --target* | --config* | -*print-* | -fuse-ld* | --ld-path* | --setup* | -setup* | --wrap | --unwrap | --help) _xx_c= && break ;;
    -c | -S | -E | -M | -MM | -fsyntax-only) _xx_does=compile ;;
    esac
done
if [ -n "$_xx_c" ]; then
    @TARGET@
    if [ -n "$_xx_p" ]; then
        _xx_q=clang
        . @TABLES@/"$_xx_p".sh
        if [ -n "${_xx_r-}" ] && [ -r "@ROOT@/var/lib/xx/$_xx_r/alias" ]; then
            { read -r _xx_a && read -r _xx_may && read -r _xx_for; } <"@ROOT@/var/lib/xx/$_xx_r/alias"
            _xx_a=$_xx_a${_xx_c#clang}
            case $_xx_does:$_xx_may:$_xx_for in
            link:any:"$_xx_n" | compile:*:"$_xx_n")
                _xx_f=$IFS _xx_l=
                IFS=:
                for _xx_l in ${PATH-}; do
                    [ -f "$_xx_l/$_xx_c" ] && [ -x "$_xx_l/$_xx_c" ] || continue
                    [ "$_xx_l/$_xx_c" -ef @HERE@/xx-clang ] || [ "$_xx_l/$_xx_c" -ef @HERE@/xx-clang++ ] || break
                done 2>&-
                IFS=$_xx_f
                [ ! "$_xx_l/$_xx_c" -ef "$_xx_a" ] 2>&- || exec "$_xx_a" "$@" ;;
            esac
        fi
    fi
fi
