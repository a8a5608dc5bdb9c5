# xx-info: what the tables hold is answered here, all else by Python.
if [ $# -le 1 ]; then
    @TARGET@
    if [ -n "$_xx_p" ]; then
        _xx_q=${1:-triple}
        . @TABLES@/"$_xx_p".sh
        if [ -n "${_xx_r+x}" ]; then
            printf '%s\n' "$_xx_r"
            exit 0
        fi
    fi
fi
