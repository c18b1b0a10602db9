//! What this machine says of itself, in the words of the catalogue `machine`.

use serde::Serialize;
use sysinfo::{Disks, ProcessRefreshKind, ProcessesToUpdate, System};

/// Processes named in an event; the schema says ten at the most.
const BUSIEST: usize = 5;
/// Disks that are published.
const DISKS_MAX: usize = 8;

/// Reads the system anew at each question.
#[derive(Debug)]
pub(super) struct Figures {
    host: String,
    system: System,
    disks: Disks,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Load<'a> {
    host: &'a str,
    one: f64,
    five: f64,
    fifteen: f64,
    cpus: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory<'a> {
    host: &'a str,
    total_bytes: i64,
    used_bytes: i64,
    available_bytes: i64,
    swap_total_bytes: i64,
    swap_used_bytes: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disk<'a> {
    host: &'a str,
    mount: String,
    file_system: String,
    total_bytes: i64,
    available_bytes: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Processes<'a> {
    host: &'a str,
    count: i32,
    busiest: Vec<Process>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    pid: i64,
    command: String,
    cpu_percent: f64,
    memory_bytes: i64,
}

impl Figures {
    /// Of this machine under this name.
    pub(super) fn new(host: String) -> Result<Self, sysinfo::Error> {
        Ok(Self { host, system: System::new()?, disks: Disks::new()? })
    }

    /// None where the system does not tell it.
    pub(super) fn load(&self) -> Option<Load<'_>> {
        let load = System::load_average().ok()?;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Some(Load { host: &self.host, one: load.one, five: load.five, fifteen: load.fifteen, cpus: int(cpus) })
    }

    pub(super) fn memory(&mut self) -> Memory<'_> {
        self.system.refresh_memory();
        Memory {
            host: &self.host,
            total_bytes: long(self.system.total_memory()),
            used_bytes: long(self.system.used_memory()),
            available_bytes: long(self.system.available_memory()),
            swap_total_bytes: long(self.system.total_swap()),
            swap_used_bytes: long(self.system.used_swap()),
        }
    }

    pub(super) fn disks(&mut self) -> Vec<Disk<'_>> {
        self.disks.refresh(true);
        let disks = self.disks.iter().take(DISKS_MAX).map(|disk| Disk {
            host: &self.host,
            mount: disk.mount_point().display().to_string(),
            file_system: disk.file_system().to_string_lossy().into_owned(),
            total_bytes: long(disk.total_space()),
            available_bytes: long(disk.available_space()),
        });
        disks.collect()
    }

    /// Processor time is measured since the last question.
    pub(super) fn processes(&mut self) -> Processes<'_> {
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let mut all: Vec<&sysinfo::Process> =
            self.system.processes().values().filter(|process| process.thread_kind().is_none()).collect();
        all.sort_by(|a, b| b.cpu_usage().total_cmp(&a.cpu_usage()));
        let count = int(all.len());
        let busiest = all.into_iter().take(BUSIEST).map(|process| Process {
            pid: i64::from(process.pid().as_u32()),
            command: process.name().to_string_lossy().into_owned(),
            cpu_percent: f64::from(process.cpu_usage()),
            memory_bytes: long(process.memory()),
        });
        Processes { host: &self.host, count, busiest: busiest.collect() }
    }
}

fn long(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn int(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
