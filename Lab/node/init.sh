#!/bin/sh
# First process of a node. The root file system is the host's own tree, read-only; a tmpfs is laid over it, the node's own
# files are copied in, and systemd (a gateway) or the lab's agent (anything else) takes over.
# From the kernel command line: LAB_NODE, LAB_SHARE (the node's directory on the host), LAB_SYSTEMD (yes or no).
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
modprobe -d "$LAB_SHARE/.." overlay
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
R=/mnt/root
mount -t proc proc $R/proc
mount -t sysfs sysfs $R/sys
mount -t devtmpfs devtmpfs $R/dev
mount -t tmpfs -o mode=755 tmpfs $R/run
mount -t tmpfs -o mode=1777 tmpfs $R/tmp
mount -t tmpfs -o mode=1777 tmpfs $R/var/tmp
mkdir -p $R/dev/shm $R/dev/pts $R/usr/lib/modules
mount -t tmpfs tmpfs $R/dev/shm
mount -t devpts devpts $R/dev/pts
mount --bind $R/usr/lib/uml/modules $R/usr/lib/modules
rm -rf $R/.dockerenv $R/etc/systemd/system/*.wants $R/lib/systemd/system/sysinit.target.wants $R/usr/sbin/policy-rc.d
# Every daemon-reload runs all generators; a gateway needs but the one that knows init scripts.
for generator in "$R"/lib/systemd/system-generators/*; do
  case $generator in *-sysv-*) ;; *) set -- "$@" "$generator" ;; esac
done
rm -f "$@"
cp -a "$LAB_SHARE/files/." $R/
mkdir $R/lab
mount -t hostfs none $R/lab -o "$LAB_SHARE"
echo "$LAB_NODE" > /proc/sys/kernel/hostname
ip -batch "$LAB_SHARE/network"
# Words on purpose.
# shellcheck disable=SC2046
[ ! -s "$LAB_SHARE/modules" ] || chroot $R modprobe -a $(cat "$LAB_SHARE/modules")
cd $R || exit 1
if [ "$LAB_SYSTEMD" = yes ]; then
  chroot . /usr/bin/python3 /run/lab/agent.py </dev/null >run/lab-agent.log 2>&1 &
  exec switch_root . /lib/systemd/systemd
fi
exec chroot . /usr/bin/python3 /run/lab/agent.py
