
# A value follows the = at once.
__vpnha_words() {
    _vpnha "$@"
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o filenames -F __vpnha_words vpnha
