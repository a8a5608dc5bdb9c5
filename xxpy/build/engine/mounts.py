"""What the mounts of a RUN show while it runs: inputs, caches, secrets, agents and memory, each undone afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xxpy.build.credentials import Credentials
from xxpy.build.engine.agent import forwarded
from xxpy.build.engine.caches import Fill, Wanted, held
from xxpy.build.engine.copy import StageTree, copy_path
from xxpy.build.engine.rooted import inside, remove_tree
from xxpy.build.engine.snapshots import Chain, draft, view
from xxpy.build.engine.spec import BindMount, Shown, TmpfsMount
from xxpy.build.graph import Digest, ExecOp, Mount, MountType, Vertex, digest_of
from xxpy.build.store import Store
from xxpy.errors import SourceError


@dataclass(frozen=True)
class Tree:
    """What a mount reads: the path ``selector`` in the tree of ``chain``. ``key`` is the cache key of that tree."""

    chain: Chain
    selector: str
    key: Digest


@dataclass(frozen=True)
class StepMounts:
    """How one step's mounts are made. ``tree_of`` answers for those with an input.

    ``work`` is a folder of the build's own on the store's disk, ``memory`` one on a tmpfs, where secrets are.
    """

    store: Store
    given: Credentials
    work: Path
    memory: Path
    tree_of: Callable[[Mount], Tree]

    @contextlib.contextmanager
    def shown(self, vertex: Vertex, own: Sequence[Shown]) -> Iterator[tuple[list[Shown], dict[str, str]]]:
        """All that the step sees, outer mounts before those in them, with ``own`` of the engine; and more variables.

        Raises SourceError (``mount-source-missing``, ``secret-not-text``), StoreError, OSError.
        """
        op = vertex.op
        assert isinstance(op, ExecOp)
        mounts = [mount for mount in op.mounts if mount.output != 0]
        targets = [each.target for each in own] + [mount.dest for mount in mounts]
        with contextlib.ExitStack() as stack:
            # First what others may have: nothing is mounted while the step waits.
            wanted = {index: self._wanted(mount) for index, mount in enumerate(mounts) if mount.cache is not None}
            caches = stack.enter_context(held(self.store, list(wanted.values()), self.work))
            folder = self.memory / secrets.token_hex(6)
            folder.mkdir(mode=0o700)
            stack.callback(remove_tree, folder)
            shown = list(own)
            drafts: dict[str, str] = {}
            for index, mount in enumerate(mounts):
                if mount.type is MountType.BIND:
                    one, made = self._bound(mount, targets, stack)
                    shown.append(one)
                    drafts |= {one.target: one.source} if made else {}
                elif mount.type is MountType.CACHE:
                    shown.append(_bind(mount, str(caches[wanted[index].name])))
                elif mount.type is MountType.TMPFS:
                    shown.append(TmpfsMount(mount.dest, mount.size, mount.readonly))
                elif mount.dest:
                    shown += self._given(mount, folder / str(index), stack)
            shown.sort(key=lambda each: each.target.count("/"))
            _make_points(shown, drafts)
            yield shown, self._variables(mounts)

    def _wanted(self, mount: Mount) -> Wanted:
        assert mount.cache is not None
        if mount.input < 0:
            return Wanted(mount.cache)
        tree = self.tree_of(mount)
        return Wanted(mount.cache, digest_of([tree.key, mount.selector]), self._filler(mount, tree))

    def _filler(self, mount: Mount, tree: Tree) -> Fill:
        def fill(made: Path) -> None:
            with view(self.work, tree.chain) as root:
                source = inside(root, tree.selector)
                if not os.path.isdir(source):
                    raise _missing(mount, "is no folder there")
                copy_path(StageTree(root), os.path.relpath(source, root), made, "/tree", None)

        return fill

    def _bound(self, mount: Mount, targets: Sequence[str], stack: contextlib.ExitStack) -> tuple[BindMount, bool]:
        """The mount, and whether it is of a tree of its own that is thrown away: where it is written to, also for
        the points of other mounts in it."""
        tree = self.tree_of(mount)
        written = not mount.readonly or any(each.startswith(f"{mount.dest}/") for each in targets)
        root = (
            stack.enter_context(draft(self.work, tree.chain)).merged
            if written
            else stack.enter_context(view(self.work, tree.chain))
        )
        source = inside(root, tree.selector)
        if not os.path.lexists(source):
            raise _missing(mount, "is not there")
        return _bind(mount, source), written and os.path.isdir(source)

    def _given(self, mount: Mount, at: Path, stack: contextlib.ExitStack) -> list[Shown]:
        """A secret or an agent, or nothing where it is not given."""
        wanted = mount.secret
        assert wanted is not None
        if mount.type is MountType.SSH:
            agent = self.given.agents.get(wanted.id)
            if agent is None:
                return []
            stack.enter_context(forwarded(agent, at, wanted.uid, wanted.gid, wanted.mode))
            return [BindMount(str(at), mount.dest, ("rw", "nosuid", "nodev", "noexec"))]
        value = self.given.secrets.get(wanted.id)
        if value is None:
            return []
        fd = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(value)
            os.fchown(fd, wanted.uid, wanted.gid)
            os.fchmod(fd, wanted.mode)
        return [BindMount(str(at), mount.dest, ("ro", "nosuid", "nodev", "noexec"))]

    def _variables(self, mounts: Sequence[Mount]) -> dict[str, str]:
        found = {}
        for mount in mounts:
            wanted = mount.secret
            if wanted is None or not wanted.env or wanted.id not in self.given.secrets:
                continue
            try:
                text = self.given.secrets[wanted.id].decode()
            except UnicodeDecodeError:
                text = "\0"
            if "\0" in text:
                raise SourceError(
                    f"the secret {wanted.id} is no text, and {wanted.env} takes text",
                    remedy="show it as a file: leave env= out",
                    reason="secret-not-text",
                )
            found[wanted.env] = text
        return found


def _bind(mount: Mount, source: str) -> BindMount:
    return BindMount(source, mount.dest, ("ro" if mount.readonly else "rw", *_kept_flags(source)))


def _kept_flags(source: str) -> Iterator[str]:
    """What the file system of ``source`` is mounted with: without it the kernel refuses to make a mount read-only.

    A mount that came into this user namespace keeps these flags (mount_namespaces(7), "locked" mounts).
    """
    flags = os.statvfs(source).f_flag
    for name, flag in (("nosuid", os.ST_NOSUID), ("nodev", os.ST_NODEV), ("noexec", os.ST_NOEXEC)):
        if flags & flag:
            yield name
    if flags & os.ST_NOATIME:
        yield "noatime"


def _make_points(shown: Sequence[Shown], drafts: dict[str, str]) -> None:
    """Make in each of ``drafts`` (targets and their folders) what other mounts are mounted on."""
    for each in shown:
        for target, folder in drafts.items():
            if not each.target.startswith(f"{target}/"):
                continue
            real = inside(Path(folder), each.target.removeprefix(target))
            if os.path.lexists(real):
                continue
            os.makedirs(os.path.dirname(real), exist_ok=True)
            if isinstance(each, BindMount) and not os.path.isdir(each.source):
                Path(real).touch()
            else:
                os.mkdir(real)


def _missing(mount: Mount, problem: str) -> SourceError:
    return SourceError(
        f"the source /{mount.selector} of the mount at {mount.dest} {problem}",
        remedy="see what the stage or the image that it comes from has there",
        reason="mount-source-missing",
    )
