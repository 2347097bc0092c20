//! `gds tune`: look at this host's settings, change them for a node, and change them back.
pub mod arguments;
mod changes;
mod measured;
mod table;

use crate::config;
use crate::exit::{Failure, Outcome};
use arguments::{About, Arguments, Check, Files, Subcommand};
use gds_core::memory::ring::Ring;
use gds_core::memory::words::WORD_BYTES;
use gds_core::store::{StoreCapacity, StoreConfig};
use gds_nic::Interface;
use gds_node::config::{AtStart, Config, Transport};
use gds_node::settings;
use gds_tuning::files::{Names, files};
use gds_tuning::{Cores, Host, Profile, Report, Wanted, check, plan};
use gds_wire::envelope::max_block_bytes;
use serde_json::json;
use std::fs;
use std::path::Path;

/// What is looked at, and with what in mind.
struct Subject {
    host: Host,
    profile: Profile,
    wanted: Wanted,
}

impl Subject {
    fn of(about: &About) -> Result<Self, Failure> {
        let config = config::load(about.config.as_deref())?;
        let host = about.root.as_deref().map_or_else(Host::this, Host::at);
        let name = about.profile.as_deref().unwrap_or(&config.tuning.profile);
        let profile = profile(&host, name)?;
        let mut wanted = wanted(&config, &host);
        if let Some(cores) = &about.cores {
            wanted.cores = cores.parse().map_err(|error| Failure::usage(format!("--cores: {error}")))?;
        }
        if let Some(interface) = &about.interface {
            wanted.interface = Some(interface.clone());
        }
        Ok(Self { host, profile, wanted })
    }

    fn check(&self) -> Vec<Report> {
        check(&self.host, &self.profile, &self.wanted)
    }

    /// In one line.
    fn about(&self) -> String {
        let cores = match self.wanted.cores.is_empty() {
            true => "no core pinned".to_owned(),
            false => format!("cores {}", self.wanted.cores),
        };
        let interface = self.wanted.interface.as_deref().unwrap_or("not found");
        format!("profile {} ({}), {cores}, interface {interface}", self.profile.name, self.profile.about)
    }
}

/// The profile of a name or file; `auto` is the one that fits.
fn profile(host: &Host, name: &str) -> Result<Profile, Failure> {
    let name = if name == "auto" { Profile::fitting(host) } else { name };
    Profile::load(name).map_err(Failure::usage)
}

/// What a node of this configuration will do on the host.
fn wanted(config: &Config, host: &Host) -> Wanted {
    let network = &config.network;
    let cores = config.core.iter().filter_map(|core| u32::try_from(core.cpu).ok());
    let interface = match network.interface.parse().unwrap_or_default() {
        Interface::Name(name) => Some(name),
        // A tree has no addresses.
        address if host.is_this() => address.resolve().ok().map(|found| found.name),
        Interface::Address(_) => None,
    };
    Wanted {
        cores: cores.collect::<Cores>(),
        interface,
        flows: network.ingress_groups.iter().map(|group| (*group, network.ingress_port)).collect(),
        memory_bytes: memory_bytes(config) as u64,
        holds_cpu_dma_latency: config.tuning.hold_cpu_dma_latency,
        receive_buffer_bytes: network.receive_buffer_bytes as u64,
        send_buffer_bytes: network.send_buffer_bytes as u64,
    }
}

/// What the node takes at its start: its rings and its store, and its frames where it may go past the kernel.
fn memory_bytes(config: &Config) -> usize {
    let rings =
        Ring::words_needed(&settings::ring(config)) + Ring::words_needed(&settings::acknowledgement_ring());
    let store = StoreConfig { block_bytes_max: max_block_bytes(config.network.max_payload_bytes) };
    let store = StoreCapacity::for_declaration(&settings::declaration(config), &store);
    let frames_bytes = match config.network.transport {
        Transport::Auto if settings::is_loopback(config) => 0,
        Transport::Auto | Transport::AfXdp => settings::xdp(config).memory_bytes(),
        Transport::IoUring | Transport::Socket => 0,
    };
    (rings + store.index_words + store.log_words) * WORD_BYTES + frames_bytes
}

/// The look that `gds run` takes at its host before the node starts: what is wrong is told, or keeps the node from starting.
pub fn at_start(config: &Config) -> Outcome {
    if config.tuning.at_start == AtStart::Silent {
        return Ok(());
    }
    let host = Host::this();
    let reports = check(&host, &profile(&host, &config.tuning.profile)?, &wanted(config, &host));
    let wrong = reports.iter().filter(|report| report.is_wrong());
    let lines: Vec<String> = wrong
        .map(|report| {
            let judgement = &report.judgement;
            format!("\n  {}: now {}, wanted {}", report.item.title, judgement.now, judgement.wanted)
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let text = format!(
        "the host is not tuned (gds tune check explains, gds tune apply changes, [tuning] at_start = {}):{}",
        if config.tuning.at_start == AtStart::Refuse { "refuse" } else { "warn" },
        lines.concat()
    );
    if config.tuning.at_start == AtStart::Refuse {
        return Err(Failure::failed(text));
    }
    eprintln!("gds: {text}");
    Ok(())
}

/// Does what the command line says.
pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Subcommand::Check(arguments) => look(arguments),
        Subcommand::Plan { about } => {
            let subject = Subject::of(about)?;
            print!("{}", plan::script(&subject.about(), &subject.check()));
            Ok(())
        }
        Subcommand::Apply { about, change } => changes::apply(&Subject::of(about)?, change),
        Subcommand::Revert(arguments) => changes::revert(arguments),
        Subcommand::Files(arguments) => install_files(arguments),
    }
}

fn look(arguments: &Check) -> Outcome {
    let subject = Subject::of(&arguments.about)?;
    let reports = subject.check();
    let measured = match arguments.measure {
        Some(seconds) => measured::measure(&subject, seconds)?,
        None => Vec::new(),
    };
    if arguments.json {
        let mut value = table::as_json(&reports);
        value["profile"] = json!(subject.profile.name);
        value["cores"] = json!(subject.wanted.cores.iter().collect::<Vec<_>>());
        value["interface"] = json!(subject.wanted.interface);
        value["measured"] = measured::as_json(&measured);
        println!("{value}");
    } else {
        println!("{}\n", subject.about());
        print!("{}", table::as_text(&reports, arguments.explain));
        print!("{}", measured::as_text(&measured));
    }
    let wrong = reports.iter().filter(|report| report.is_wrong()).count();
    // Told above; the exit code says it once more.
    if wrong > 0 { Err(Failure::failed("")) } else { Ok(()) }
}

fn install_files(arguments: &Files) -> Outcome {
    let subject = Subject::of(&arguments.about)?;
    let online = subject.host.read("/sys/devices/system/cpu/online").unwrap_or_default();
    let shown = |path: Option<&Path>, default: &str| {
        path.map_or(default.to_owned(), |path| {
            std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string()
        })
    };
    let config = shown(arguments.about.config.as_deref(), "/etc/gds/node.toml");
    let profile = arguments.about.profile.as_deref().unwrap_or(&subject.profile.name);
    let profile = if Path::new(profile).is_file() {
        shown(Some(Path::new(profile)), profile)
    } else {
        profile.to_owned()
    };
    let names = Names { program: &arguments.program, profile: &profile, config: &config };
    for file in files(&names, &subject.wanted, &online, &subject.check()) {
        let Some(directory) = &arguments.directory else {
            println!("# ---- /{}\n{}", file.path, file.text);
            continue;
        };
        let path = directory.join(file.path);
        let failed = |error| Failure::failed(format!("{}: {error}", path.display()));
        fs::create_dir_all(path.parent().expect("each has a folder")).map_err(failed)?;
        fs::write(&path, file.text).map_err(failed)?;
        println!("{}", path.display());
    }
    Ok(())
}
