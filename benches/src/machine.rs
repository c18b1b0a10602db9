//! What the kernel says of processes and of the machine: processor time, memory, load. Reads `/proc` and nothing else.

use std::fs::read_to_string;

use crate::number::float;

/// `/proc` counts processor time in these, whatever the kernel's own tick is (proc_pid_stat(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of `stat` behind the command's name: user time, then system time.
const USER_TIME_FIELD: usize = 11;

/// A process and all that it started.
pub fn family(pid: u32) -> Vec<u32> {
    let children = read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let below = children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(family);
    std::iter::once(pid).chain(below).collect()
}

/// Seconds of processor time of all processes together, to the hundredth.
pub fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks = |pid: &u32| -> Option<f64> {
        let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, behind_name) = stat.rsplit_once(')')?;
        let mut times = behind_name.split_whitespace().skip(USER_TIME_FIELD).map(str::parse::<f64>);
        Some(times.next()?.ok()? + times.next()?.ok()?)
    };
    pids.iter().filter_map(ticks).sum::<f64>() / TICKS_PER_SECOND
}

/// Bytes of memory of all processes together. A page that several share is counted once (`Pss`).
pub fn memory_bytes(pids: &[u32]) -> f64 {
    let of = |pid: &u32| kibibytes(&read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default(), "Pss:");
    float(pids.iter().map(of).sum::<u64>() * 1024)
}

/// The load of the last minute.
pub fn load() -> f64 {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

/// Processor, cores, memory and kernel in a few words.
pub fn description() -> String {
    let processor = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = kibibytes(&read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:") / (1024 * 1024);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, {memory} GiB, Linux {}", kernel.trim())
}

fn kibibytes(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_is_its_own_family() {
        let own = std::process::id();
        assert!(memory_bytes(&[own]) > 100_000.0);
        assert!(family(own).contains(&own));
        assert_eq!(cpu_seconds(&[u32::MAX]), 0.0);
    }
}
