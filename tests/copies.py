"""COPYs and ADDs of every kind, with a context for them: what several tests have two engines do."""

from __future__ import annotations

import tarfile
from pathlib import Path

# Each in a folder of its own that has links and folders in the way. Not here: ADD --chown of an archive, which Debian's
# BuildKit does not heed yet.
COPIES = [
    "COPY src/a.txt one",
    "COPY src/a.txt src/run two/",
    "COPY src three",
    "COPY src/b.c dest-link",
    "COPY src/b.c dangling",
    "COPY src/b.c file-link",
    "COPY to-file ./",
    "COPY to-file as-named",
    "COPY to-folder contents",
    "COPY src/*/*.txt wild/",
    "COPY */er/d.txt wild/",
    "COPY to* wild/",
    "COPY src/a[[]0].txt literal/",
    "COPY src/a*.txt the-last-stays",
    "COPY --chmod=711 src modes",
    "COPY --chown=1:2 src own",
    "COPY --chown=1 src/a.txt own/o/f",
    "COPY src/deep there",
    "COPY src/run there/c.txt",
    "COPY . all",
    "COPY --from=other /src/link f",
    "COPY --from=other /src/folder-link f",
    "COPY --from=other /src f",
    "COPY --from=other /src/*link f/",
    "COPY --from=other /s*/*/c.txt f/",
    "ADD archive.tgz ./",
    "ADD empty.tar src/a.txt files/",
    "COPY <<EOF there\ntext\nEOF",
    "COPY --chmod=751 --chown=1 <<A <<B h/\na\nA\nb\nB",
    'COPY ["src/a.txt", "sp ace/"]',
    "COPY ../src/deep/. up",
]
_LIST = (
    'RUN cd /out && find . | sort | while read -r f; do s=; [ -L "$f" ] && s=$(readlink "$f");'
    ' [ -f "$f" ] && [ ! -L "$f" ] && s="$(md5sum <"$f")";'
    ' echo "$f $(stat -c \'%a %u:%g %F %h\' "$f") $s"; done\n'
)
_IN_THE_WAY = (
    "mkdir real there link-target was-dir folder-is-link file-is-folder folder-is-file && touch a-file &&"
    " ln -s link-target dest-link && ln -s nowhere/new dangling && ln -s a-file file-link && ln -s real through &&"
    " ln -s real was-link && ln -s ../real folder-is-link/deep && mkdir file-is-folder/a.txt there/run &&"
    " touch folder-is-file/deep was-dir/old"
)


def copy_context(folder: Path) -> None:
    src = folder / "src"
    (src / "deep/er").mkdir(parents=True)
    modes = {"a.txt": 0o640, "a[0].txt": 0o644, "b.c": 0o644, "run": 0o755, "deep/c.txt": 0o600, "deep/er/d.txt": 0o644}
    for name, mode in modes.items():
        (src / name).write_text(name)
        (src / name).chmod(mode)
    (src / "deep/er").chmod(0o750)
    (src / "hard").hardlink_to(src / "a.txt")
    links = {"src/link": "a.txt", "to-file": "src/a.txt", "to-folder": "src/deep", "dangling": "nowhere"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (folder / "empty.tar").touch()
    with tarfile.open(folder / "archive.tgz", "w:gz") as tar:
        for name, kind, link in (
            ("f", tarfile.REGTYPE, ""), ("d", tarfile.DIRTYPE, ""), ("d/x", tarfile.REGTYPE, ""),
            ("was-link", tarfile.DIRTYPE, ""), ("was-link/y", tarfile.REGTYPE, ""), ("through/it", tarfile.REGTYPE, ""),
            ("sym", tarfile.SYMTYPE, "/etc"), ("hard", tarfile.LNKTYPE, "f"), ("was-dir", tarfile.REGTYPE, ""),
            ("fifo", tarfile.FIFOTYPE, ""),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.uid, entry.mode = kind, link, 7, 0o751
            tar.addfile(entry)
    (folder / ".dockerignore").write_text("Dockerfile*\n.dockerignore\n")


def copying(steps: list[str]) -> str:
    """A Dockerfile that does each step in a folder of its own."""
    folders = " ".join(str(number) for number in range(len(steps)))
    text = (
        "FROM busybox AS other\nRUN mkdir -p /src/deep && cd /src && echo a >a && ln a hard && ln -s a link &&"
        " ln -s deep folder-link && echo c >deep/c.txt && chown 3:4 a && chmod 2750 deep\nFROM busybox\n"
        f"RUN for i in {folders}; do mkdir -p /out/$i && cd /out/$i && {_IN_THE_WAY} || exit 1; done\n"
    )
    return text + "".join(f"WORKDIR /out/{number}\n{step}\n" for number, step in enumerate(steps)) + _LIST
