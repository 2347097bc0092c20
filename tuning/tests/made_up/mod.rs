//! Made-up hosts: trees with the files of three kinds of host, and stand-ins for ethtool, systemctl and taskset that keep their
//! state in the tree.
#![allow(dead_code, reason = "each test binary uses a part of it")]
use gds_tuning::{Host, Wanted};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// A tree that looks like a host.
pub struct Tree {
    root: TempDir,
    state: TempDir,
    /// What a node would do there.
    pub wanted: Wanted,
}

impl Tree {
    fn new(wanted: Wanted) -> Self {
        // Each record is put on disk: in memory that takes no time. The tree has programs, which may not be run from there.
        let memory = Path::new("/dev/shm");
        let state = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let (root, state) =
            (tempfile::tempdir().expect("a temporary folder"), state.expect("a temporary folder"));
        let tree = Self { root, state, wanted };
        tree.program("ethtool", include_str!("ethtool.sh"));
        tree.program("systemctl", include_str!("systemctl.sh"));
        tree.program("taskset", include_str!("taskset.sh"));
        tree.file("proc/sys/kernel/random/boot_id", "made-up");
        tree
    }

    /// The host.
    pub fn host(&self) -> Host {
        Host::at(self.root.path())
    }

    /// A folder outside the host's files, for states.
    pub fn state(&self) -> std::path::PathBuf {
        self.state.path().join("state/tune.json")
    }

    /// Puts a file there, or replaces it.
    pub fn file(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, format!("{text}\n")).expect("written");
    }

    /// A file's text.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).expect("it is there").trim().to_owned()
    }

    /// Takes a file or folder away.
    pub fn remove(&self, path: &str) {
        let path = self.root.path().join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
    }

    fn files(&self, files: &[(&str, &str)]) {
        files.iter().for_each(|(path, text)| self.file(path, text));
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.root.path().join("bin").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::os::unix::fs::symlink(target, path).expect("linked");
    }

    /// Every file and its bytes. A file with a choice counts by what is chosen: the kernel puts the brackets there, and a
    /// tree has no kernel.
    pub fn snapshot(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        walk(self.root.path(), self.root.path(), &mut all);
        for text in all.values_mut() {
            if let Some((_, rest)) = text.split_once('[')
                && let Some((chosen, _)) = rest.split_once(']')
            {
                *text = format!("{chosen}\n");
            }
        }
        all
    }

    /// Makes the node's interface one end of a veth pair, with a timer that does not belong there.
    pub fn files_of_a_veth(&mut self) {
        self.wanted.interface = Some("veth0".to_owned());
        self.file("sys/class/net/veth0/napi_defer_hard_irqs", "0");
        self.file("sys/class/net/veth0/gro_flush_timeout", "200000");
    }

    /// These interrupts, each taken by a device, all on `cores`.
    fn interrupts(&self, numbers: std::ops::RangeInclusive<u32>, device: &str, cores: &str) {
        for number in numbers {
            self.file(&format!("proc/irq/{number}/smp_affinity_list"), cores);
            fs::create_dir_all(self.root.path().join(format!("proc/irq/{number}/{device}"))).expect("made");
        }
    }

    /// An interrupt that the kernel manages itself.
    fn held(&self, number: u32, device: &str, cores: &str, effective: &str) {
        self.interrupts(number..=number, device, cores);
        let path = self.root.path().join(format!("proc/irq/{number}/smp_affinity_list"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).expect("read-only");
        self.file(&format!("proc/irq/{number}/effective_affinity_list"), effective);
    }

    /// A thread that the kernel lets be moved, and how much processor time it has had.
    pub fn thread(&self, id: u32, name: &str, busy_ticks: u32, cores: &str) {
        self.task(id, name, 0x0020_8040, busy_ticks, cores);
    }

    /// A thread of the kernel that belongs to one processor.
    fn bound(&self, id: u32, name: &str, core: &str) {
        self.task(id, name, 0x0420_8040, 5_000, core);
    }

    fn task(&self, id: u32, name: &str, flags: u32, busy_ticks: u32, cores: &str) {
        let stat = format!("{id} ({name}) S 2 0 0 0 -1 {flags} 0 0 0 0 0 {busy_ticks} 0 0 20 0 1 0 {id} 0 0");
        self.file(&format!("proc/{id}/stat"), &stat);
        self.file(&format!("proc/{id}/status"), &format!("Name:\t{name}\nCpus_allowed_list:\t{cores}"));
    }

    fn queues(&self, interface: &str, queues: u32, mask: &str) {
        for queue in 0..queues {
            self.file(&format!("sys/class/net/{interface}/queues/rx-{queue}/rps_cpus"), mask);
            self.file(&format!("sys/class/net/{interface}/queues/tx-{queue}/xps_cpus"), "00000000");
        }
    }
}

fn walk(root: &Path, folder: &Path, all: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if entry.file_type().expect("a type").is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, all);
        } else {
            let name = path.strip_prefix(root).expect("below").display().to_string();
            all.insert(name, String::from_utf8_lossy(&fs::read(&path).expect("read")).into_owned());
        }
    }
}

/// What is the same on all three as an installer leaves them.
const COMMON: &[(&str, &str)] = &[
    ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0"),
    ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0"),
    ("proc/meminfo", "MemTotal: 65536000 kB\nMemAvailable:   61440000 kB"),
    ("proc/sys/vm/swappiness", "60"),
    ("proc/sys/kernel/timer_migration", "1"),
    ("proc/sys/kernel/sched_rt_runtime_us", "950000"),
    ("proc/sys/net/core/busy_read", "0"),
    ("proc/sys/net/core/busy_poll", "0"),
    ("proc/sys/net/ipv4/igmp_max_memberships", "20"),
    ("proc/sys/net/ipv4/igmp_max_msf", "10"),
    (
        "proc/self/limits",
        "Limit  Soft Limit  Hard Limit  Units\nMax locked memory         8388608              8388608              bytes",
    ),
    ("proc/self/status", "Name:\tgds\nCapEff:\t0000000000000000"),
    (
        "proc/net/igmp",
        "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0",
    ),
    ("sys/devices/system/cpu/vulnerabilities/spectre_v2", "Mitigation: Retpolines"),
    ("sys/devices/system/cpu/vulnerabilities/mds", "Not affected"),
];

/// What the node of all three wants: 1 GiB, two groups, buffers of 4 MiB.
fn wanted(cores: &str, interface: &str) -> Wanted {
    Wanted {
        cores: cores.parse().expect("a list"),
        interface: Some(interface.to_owned()),
        flows: vec![([239, 192, 7, 1].into(), 26400), ([239, 192, 7, 2].into(), 26400)],
        memory_bytes: 1 << 30,
        holds_cpu_dma_latency: false,
        receive_buffer_bytes: 4 << 20,
        send_buffer_bytes: 4 << 20,
    }
}

/// Bare metal as installed: two NUMA nodes with four cores of two threads each, and a 10G card with eight queues on the second node.
pub fn metal() -> Tree {
    let tree = Tree::new(wanted("4-5", "eth0"));
    tree.files(COMMON);
    tree.files(&[
        ("sys/devices/system/cpu/online", "0-15"),
        ("sys/devices/system/cpu/isolated", ""),
        ("sys/devices/system/cpu/nohz_full", "(null)"),
        ("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda2 ro quiet"),
        ("proc/cpuinfo", "flags\t\t: fpu tsc constant_tsc"),
        ("sys/devices/system/node/node0/cpulist", "0-3,8-11"),
        ("sys/devices/system/node/node1/cpulist", "4-7,12-15"),
        ("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "0"),
        ("sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "0"),
        ("proc/812/comm", "irqbalance"),
        ("proc/640/comm", "chronyd"),
        ("proc/irq/default_smp_affinity", "ffff"),
        ("sys/devices/virtual/workqueue/cpumask", "0000ffff"),
        ("sys/devices/system/cpu/cpuidle/current_driver", "intel_idle"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
        ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda3 partition 8388604 0 -2"),
        ("proc/sys/kernel/nmi_watchdog", "1"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"),
        ("proc/sys/net/core/rmem_max", "212992"),
        ("proc/sys/net/core/wmem_max", "212992"),
        ("proc/sys/net/ipv4/conf/all/rp_filter", "1"),
        ("proc/sys/net/ipv4/conf/eth0/rp_filter", "1"),
        ("sys/class/net/eth0/flags", "0x1003"),
        ("sys/class/net/eth0/napi_defer_hard_irqs", "0"),
        ("sys/class/net/eth0/gro_flush_timeout", "0"),
        ("sys/devices/pci0/nic/numa_node", "1"),
        ("ethtool/eth0/g/rx", "512"),
        ("ethtool/eth0/g/rx-most", "8192"),
        ("ethtool/eth0/c/adaptive-rx", "on"),
        ("ethtool/eth0/c/rx-usecs", "50"),
        ("ethtool/eth0/a/rx", "on"),
        ("ethtool/eth0/a/tx", "on"),
        ("ethtool/eth0/k/gro", "on"),
        ("ethtool/eth0/k/lro", "on"),
        ("ethtool/eth0/k/ntuple", "off"),
        ("ethtool/eth0/l/combined", "8"),
        ("ethtool/eth0/l/combined-most", "64"),
    ]);
    fs::create_dir_all(tree.root.path().join("dev")).expect("made");
    fs::write(tree.root.path().join("dev/cpu_dma_latency"), 2_000_000_000i32.to_ne_bytes()).expect("written");
    for core in 0..16 {
        let folder = format!("sys/devices/system/cpu/cpu{core}");
        tree.file(
            &format!("{folder}/topology/thread_siblings_list"),
            &format!("{},{}", core % 8, core % 8 + 8),
        );
        tree.file(&format!("{folder}/cpufreq/scaling_governor"), "powersave");
    }
    tree.link("sys/class/net/eth0/device", "../../../devices/pci0/nic");
    for number in 120..=127 {
        tree.file(&format!("sys/devices/pci0/nic/msi_irqs/{number}"), "msix");
    }
    tree.interrupts(120..=127, "eth0-TxRx", "0-15");
    tree.interrupts(30..=33, "nvme0q", "0-15");
    // Nobody takes it: it is left alone.
    tree.file("proc/irq/2/smp_affinity_list", "0-15");
    tree.queues("eth0", 8, "00000000,0000ffff");
    tree.thread(2, "kthreadd", 6, "0-15");
    tree.thread(17, "rcu_preempt", 900, "0-15");
    tree.bound(40, "ksoftirqd/4", "4");
    tree.thread(61, "kswapd0", 3, "0-3,8-11");
    tree.thread(62, "kswapd1", 2, "4-7,12-15");
    tree.thread(77, "kdamond.0", 60_000, "0-15");
    // It goes where its interrupt goes.
    tree.thread(90, "irq/120-eth0-Tx", 20, "4");
    tree.task(640, "chronyd", 0x0040_0100, 70_000, "0-15");
    tree
}

/// A virtual machine of a cloud: eight processors, two to a core, an ena card with two queues.
pub fn cloud() -> Tree {
    let tree = Tree::new(wanted("2,4", "ens5"));
    tree.files(COMMON);
    tree.files(&[
        ("sys/devices/system/cpu/online", "0-7"),
        ("sys/devices/system/cpu/isolated", "2-5"),
        ("sys/devices/system/cpu/nohz_full", "2-5"),
        ("proc/cmdline", "isolcpus=2-5 nohz_full=2-5"),
        ("proc/cpuinfo", "flags\t\t: fpu tsc hypervisor"),
        ("sys/devices/system/node/node0/cpulist", "0-7"),
        ("proc/640/comm", "systemd-timesyn"),
        ("proc/irq/default_smp_affinity", "c3"),
        ("sys/devices/virtual/workqueue/cpumask", "c3"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
        ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "kvm-clock tsc"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "kvm-clock"),
        ("proc/sys/net/core/rmem_max", "8388608"),
        ("proc/sys/net/core/wmem_max", "212992"),
        ("proc/sys/net/ipv4/conf/all/rp_filter", "0"),
        ("proc/sys/net/ipv4/conf/ens5/rp_filter", "2"),
        ("sys/class/net/ens5/flags", "0x1003"),
        ("sys/class/net/ens5/napi_defer_hard_irqs", "0"),
        ("sys/class/net/ens5/gro_flush_timeout", "0"),
        ("sys/devices/pci0/ena/numa_node", "-1"),
        ("ethtool/ens5/g/rx", "1024"),
        ("ethtool/ens5/g/rx-most", "16384"),
        ("ethtool/ens5/c/adaptive-rx", "on"),
        ("ethtool/ens5/c/rx-usecs", "20"),
        ("ethtool/ens5/k/gro", "on"),
        ("ethtool/ens5/k/lro", "off [fixed]"),
        ("ethtool/ens5/k/ntuple", "off [fixed]"),
        ("ethtool/ens5/l/combined", "2"),
    ]);
    for core in 0..8 {
        let pair = format!("{}-{}", core / 2 * 2, core / 2 * 2 + 1);
        tree.file(&format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"), &pair);
    }
    tree.link("sys/class/net/ens5/device", "../../../devices/pci0/ena");
    tree.file("sys/devices/pci0/ena/msi_irqs/60", "msix");
    tree.file("sys/devices/pci0/ena/msi_irqs/61", "msix");
    tree.interrupts(60..=60, "ens5-Tx-Rx-0", "0");
    tree.interrupts(61..=61, "ens5-Tx-Rx-1", "2");
    tree.interrupts(20..=21, "nvme0q", "0-1,6-7");
    tree.held(22, "nvme0q", "0-7", "0");
    tree.queues("ens5", 2, "0");
    tree.thread(2, "kthreadd", 6, "0-1,6-7");
    tree.thread(17, "rcuop/2", 900, "0-1,6-7");
    tree.bound(40, "ksoftirqd/2", "2");
    tree
}

/// A small virtual machine: two processors, a virtio card that is a child of its PCI device, no ethtool, a kernel with little in it.
pub fn small() -> Tree {
    let tree = Tree::new(wanted("1", "eth0"));
    tree.files(COMMON);
    tree.files(&[
        ("sys/devices/system/cpu/online", "0-1"),
        ("sys/devices/system/cpu/isolated", ""),
        ("proc/cmdline", "console=ttyS0 quiet"),
        ("proc/cpuinfo", "flags\t\t: fpu tsc hypervisor"),
        ("sys/devices/system/node/node0/cpulist", "0-1"),
        ("proc/irq/default_smp_affinity", "3"),
        ("sys/devices/virtual/workqueue/cpumask", "3"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
        ("proc/swaps", "Filename\tType\tSize\tUsed\tPriority"),
        ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc kvm-clock"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
        ("proc/sys/net/core/rmem_max", "4194304"),
        ("proc/sys/net/core/wmem_max", "4194304"),
        ("proc/sys/net/ipv4/conf/all/rp_filter", "0"),
        ("proc/sys/net/ipv4/conf/eth0/rp_filter", "0"),
        ("sys/class/net/eth0/flags", "0x1003"),
        ("sys/class/net/eth0/napi_defer_hard_irqs", "0"),
        ("sys/class/net/eth0/gro_flush_timeout", "0"),
        ("sys/devices/pci0/msi_irqs/37", "msix"),
        ("sys/devices/pci0/virtio2/uevent", ""),
    ]);
    for core in 0..2 {
        let path = format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        tree.file(&path, &core.to_string());
    }
    tree.link("sys/class/net/eth0/device", "../../../devices/pci0/virtio2");
    tree.interrupts(37..=37, "virtio2-input.0", "0-1");
    tree.interrupts(24..=25, "virtio1-req.0", "0-1");
    tree.held(26, "virtio3-req.0", "0-1", "1");
    tree.queues("eth0", 1, "0");
    tree.thread(2, "kthreadd", 6, "0-1");
    tree.thread(77, "kdamond.0", 60_000, "0-1");
    // Somebody has put it there.
    tree.thread(78, "kcompactd0", 20, "1");
    tree.bound(40, "ksoftirqd/1", "1");
    tree.remove("bin/ethtool");
    tree
}
