import pytest

from zoetrope.mounts import mount_of, outermost, read_table

TABLE = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /proc rw,nosuid - proc proc rw
40 22 0:40 / /srv/nas rw,relatime shared:9 - nfs4 nas:/pictures rw,vers=4.2
41 40 0:41 / /srv/nas/local rw - tmpfs tmpfs rw
42 22 0:42 / /srv/my\\040share rw - cifs //nas/share rw
43 22 0:43 / /home/me/drive rw - fuse.rclone remote: rw
44 22 254:2 / /srv/disk rw - xfs /dev/vdb rw
45 44 0:45 / /srv/disk rw - 9p host rw
a broken line
"""


@pytest.mark.parametrize(
    ("path", "point", "kind", "silent"),
    [
        ("/var/lib/zoetrope", "/", "ext4", False),
        ("/srv/nas", "/srv/nas", "nfs4", True),
        ("/srv/nas/inbox", "/srv/nas", "nfs4", True),
        ("/srv/nasty/inbox", "/", "ext4", False),
        ("/srv/nas/local/inbox", "/srv/nas/local", "tmpfs", False),
        ("/srv/my share/inbox", "/srv/my share", "cifs", True),
        ("/home/me/drive/inbox", "/home/me/drive", "fuse.rclone", True),
        # The later of two mounts on one point is the one that is seen.
        ("/srv/disk/inbox", "/srv/disk", "9p", True),
    ],
)
def test_a_path_lies_on_the_deepest_mount_above_it(path, point, kind, silent):
    mount = mount_of(TABLE, path)
    assert (mount.point, mount.type, mount.silent) == (point, kind, silent)


def test_without_a_table_the_kernel_is_trusted_to_tell():
    assert not mount_of("", "/srv/inbox").silent


def test_this_machine_has_a_root_mount():
    assert mount_of(read_table(), "/").type != "unknown"


@pytest.mark.parametrize(
    ("path", "above"),
    [
        ("/var/lib/zoetrope", "/"),
        ("/srv/nas/inbox", "/srv/nas"),
        ("/srv/nas", "/srv/nas"),
        ("/srv/nas/local/inbox", "/srv/nas/local"),
        ("/srv/bound/inbox", "/"),  # mounted on itself
    ],
)
def test_where_a_disk_or_share_begins_is_seen_through_a_sandbox(path, above):
    table = f"{TABLE}50 22 254:1 /srv/bound/inbox /srv/bound/inbox rw - ext4 /dev/vda1 rw\n"
    assert outermost(table, path) == above
