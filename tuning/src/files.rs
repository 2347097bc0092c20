//! What to install so that a host comes up tuned: shown or written into a folder, never installed.
//!
//! | file | does |
//! | --- | --- |
//! | `etc/default/grub.d/60-gds.cfg` | the kernel command line: isolated and tickless processors, hugepages |
//! | `etc/sysctl.d/60-gds.conf` | what `/proc/sys` has of the profile |
//! | `etc/udev/rules.d/60-gds.rules` | the card's settings when it appears, and who may hold `/dev/cpu_dma_latency` |
//! | `etc/systemd/system/gds-tune.service` | `gds tune apply` before the node starts, and everything else of the profile |
//! | `etc/systemd/system/gds.service` | the node as a user of its own, with the capabilities it needs and no others |
use crate::check::Report;
use crate::item::Setting;
use crate::knob::Knob;
use crate::wanted::Wanted;

/// A file to install.
pub struct InstallFile {
    /// Where, from the root: `etc/sysctl.d/60-gds.conf`.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

/// What the files name.
pub struct Names<'a> {
    /// The program: `/usr/local/bin/gds`.
    pub program: &'a str,
    /// The profile, a name or a file.
    pub profile: &'a str,
    /// The node's configuration file.
    pub config: &'a str,
}

/// All of them, for what the profile names on this host.
pub fn files(names: &Names<'_>, wanted: &Wanted, online: &str, reports: &[Report]) -> Vec<InstallFile> {
    vec![
        InstallFile { path: "etc/default/grub.d/60-gds.cfg", text: command_line(wanted, online, reports) },
        InstallFile { path: "etc/sysctl.d/60-gds.conf", text: sysctl(names, reports) },
        InstallFile { path: "etc/udev/rules.d/60-gds.rules", text: udev(wanted, reports) },
        InstallFile { path: "etc/systemd/system/gds-tune.service", text: tune_unit(names) },
        InstallFile { path: "etc/systemd/system/gds.service", text: node_unit(names) },
    ]
}

/// The settings of all items that the profile lets be changed, as they should be.
fn settings(reports: &[Report]) -> impl Iterator<Item = (&Report, &Setting)> {
    let applied = reports.iter().filter(|report| report.apply);
    applied.flat_map(|report| report.judgement.settings.iter().map(move |setting| (report, setting)))
}

/// A comment with the item's name before its first line.
fn heading(last: &mut &'static str, report: &Report) -> String {
    if std::mem::replace(last, report.item.title) == report.item.title {
        return String::new();
    }
    format!("# {}\n", report.item.title)
}

fn command_line(wanted: &Wanted, online: &str, reports: &[Report]) -> String {
    let names = |key: &str| reports.iter().any(|report| report.item.key == key);
    let cores = &wanted.cores;
    let others = online.parse().map(|online: crate::Cores| online.without(cores)).unwrap_or_default();
    let pinned = !cores.is_empty() && !others.is_empty();
    let mut words = Vec::new();
    let mut add = |key: &str, word: String| words.extend(names(key).then_some(word));
    if pinned {
        add("isolated_cores", format!("isolcpus=managed_irq,domain,{cores}"));
        add("tickless_cores", format!("nohz_full={cores}"));
        add("rcu_callbacks", format!("rcu_nocbs={cores}"));
        add("interrupts", format!("irqaffinity={others}"));
    }
    let pages = wanted.memory_bytes.div_ceil(2 << 20);
    if pages > 0 {
        add("hugepages", format!("hugepagesz=2M hugepages={pages}"));
    }
    let mut text = String::from(
        "# Kernel command line for a GDS node. Install as /etc/default/grub.d/60-gds.cfg, then: update-grub && reboot\n\
         # (no GRUB: put the words into the boot loader's own configuration).\n",
    );
    if !pinned {
        text += "# No processor is pinned, or every one is: nothing to isolate. Pin threads with [[core]] cpu and leave others free.\n";
    }
    text += &format!("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {}\"\n", words.join(" "));
    text
}

fn sysctl(names: &Names<'_>, reports: &[Report]) -> String {
    let mut text = format!(
        "# /proc/sys of profile {}. Install as /etc/sysctl.d/60-gds.conf, then: sysctl --system\n",
        names.profile
    );
    let mut title = "";
    for (report, setting) in settings(reports) {
        if let Knob::File { path, .. } = &setting.knob
            && let Some(name) = path.strip_prefix("/proc/sys/")
        {
            text += &heading(&mut title, report);
            // With slashes, an interface such as eth0.100 is one name.
            text += &format!("{name} = {}\n", setting.wanted);
        }
    }
    text
}

fn udev(wanted: &Wanted, reports: &[Report]) -> String {
    let mut text = String::from(
        "# Install as /etc/udev/rules.d/60-gds.rules, then: udevadm control --reload\n\
         # The node, which is not root, may keep the processors awake.\n\
         SUBSYSTEM==\"misc\", KERNEL==\"cpu_dma_latency\", GROUP=\"gds\", MODE=\"0660\"\n",
    );
    let interface = wanted.interface.as_deref().unwrap_or_default();
    let mut title = "";
    for (report, setting) in settings(reports) {
        if let Knob::Card { .. } = &setting.knob {
            let command = setting.knob.command(&setting.wanted);
            text += &heading(&mut title, report);
            text += &format!(
                "ACTION==\"add\", SUBSYSTEM==\"net\", NAME==\"{interface}\", RUN+=\"/usr/sbin/{command}\"\n"
            );
        }
    }
    text
}

fn tune_unit(names: &Names<'_>) -> String {
    let Names { program, profile, config } = names;
    format!(
        "# Install as /etc/systemd/system/gds-tune.service, then: systemctl enable gds-tune\n\
         [Unit]\n\
         Description=Host tuning for the GENIUM Data Store\n\
         After=network-online.target irqbalance.service\n\
         Wants=network-online.target\n\
         Before=gds.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={program} tune apply --profile {profile} --config {config}\n\
         ExecStop={program} tune revert\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

fn node_unit(names: &Names<'_>) -> String {
    let Names { program, config, .. } = names;
    format!(
        "# Install as /etc/systemd/system/gds.service, then: useradd --system gds && systemctl enable gds\n\
         [Unit]\n\
         Description=GENIUM Data Store\n\
         After=gds-tune.service\n\
         Wants=gds-tune.service\n\
         \n\
         [Service]\n\
         User=gds\n\
         Group=gds\n\
         StateDirectory=gds\n\
         WorkingDirectory=/var/lib/gds\n\
         ExecStart={program} run --config {config}\n\
         KillSignal=SIGTERM\n\
         Restart=on-failure\n\
         LimitMEMLOCK=infinity\n\
         # NET_ADMIN, BPF and NET_RAW: AF_XDP, and buffers beyond net.core.rmem_max. IPC_LOCK: locked memory. SYS_NICE: pinning\n\
         # beyond its own cpuset. Without AF_XDP the node runs with none of them.\n\
         AmbientCapabilities=CAP_NET_ADMIN CAP_BPF CAP_NET_RAW CAP_IPC_LOCK CAP_SYS_NICE\n\
         CapabilityBoundingSet=CAP_NET_ADMIN CAP_BPF CAP_NET_RAW CAP_IPC_LOCK CAP_SYS_NICE\n\
         NoNewPrivileges=yes\n\
         ProtectSystem=strict\n\
         ReadWritePaths=/var/lib/gds /dev/shm\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}
