# What the stage is to produce code for, as far as the tables know it. Sets _xx_p, the name of a table, or leaves it
# empty for Python; and what the answers have in them: _xx_vendor, _xx_version, and by _xx_who how things are named.
# All names begin with _xx_: a variable of the stage that were changed here would reach the programs started below.
_xx_v=${TARGETVARIANT-}
case ${TARGETPLATFORM:+platform}${TARGETPAIR:+pair} in
platform)
    _xx_p=$TARGETPLATFORM
    case $_xx_p in
    */*/?*) _xx_v= ;;
    esac ;;
pair)
    _xx_p=${TARGETPAIR%%-*}/${TARGETPAIR#*-}
    case $_xx_p in
    */armv?) _xx_v=${_xx_p##*/arm} _xx_p=${_xx_p%v?} ;;
    esac ;;
platformpair) _xx_p= ;;
*)
    _xx_p=${TARGETARCH-}
    if [ -z "$_xx_p" ]; then
        case $(uname -m 2>&-) in
        @MACHINES@
        esac
    fi
    _xx_p=${TARGETOS:-linux}/$_xx_p ;;
esac
[ -z "$_xx_v" ] || _xx_p=$_xx_p/$_xx_v
case $_xx_p in
@PLATFORMS@) ;;
*) _xx_p= ;;
esac
if [ -n "$_xx_p" ]; then
    _xx_id= _xx_version= _xx_like=
    for _xx_l in @ROOT@/etc/os-release @ROOT@/usr/lib/os-release; do
        [ -r "$_xx_l" ] || continue
        while IFS= read -r _xx_l || [ -n "$_xx_l" ]; do
            case $_xx_l in
            ID=*) _xx_id=${_xx_l#ID=} ;;
            VERSION_ID=*) _xx_version=${_xx_l#VERSION_ID=} ;;
            ID_LIKE=*) _xx_like=${_xx_l#ID_LIKE=} ;;
            [!A-Z#]*) _xx_p= ;;
            esac
        done <"$_xx_l"
        break
    done
    _xx_id=${_xx_id#\"} _xx_version=${_xx_version#\"} _xx_like=${_xx_like#\"}
    _xx_id=${_xx_id%\"} _xx_version=${_xx_version%\"} _xx_like=${_xx_like%\"}
    case $_xx_id:$_xx_version:${XX_VENDOR-}:${XX_LIBC-}:${ARM_TARGET_ARCH-}${RISCV64_TARGET_ARCH-}${MACOSX_VERSION_MIN-} in
    *[!A-Za-z0-9._+:-]*) _xx_p= ;;
    esac
    case $_xx_like in
    *[!A-Za-z0-9._\ -]*) _xx_p= ;;
    esac
    _xx_who=other
    for _xx_l in $_xx_id $_xx_like; do
        case $_xx_l in
        @FAMILIES@
        esac
    done
    _xx_vendor=${_xx_id:-unknown}
    if [ -n "${XX_VENDOR-}" ]; then
        _xx_vendor=$XX_VENDOR
        case $XX_VENDOR in
        @NAMINGS@
        *) _xx_who="$_xx_who other" ;;
        esac
    fi
fi
