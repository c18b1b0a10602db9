//! The figures of the table: what each is, which way is better, and what is aimed at.

use crate::contender::Contender;

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(crate) enum Figure {
    /// 10,000 streams that get nothing, each on its own channel.
    IdleBytes,
    /// How fast they came.
    ConnectsPerSecond,
    /// 1,000 streams × 50/s.
    SteadyCpu,
    /// The latency there.
    SteadyP99,
    /// 10,000 streams × 10/s.
    WideCpu,
    /// The latency there.
    WideP99,
    /// As fast as 1,000 streams take it.
    MostDeliveries,
    /// What that costs.
    MostCpu,
    /// 5,000 streams on their own channels, 5,000/s in all: who holds the streams.
    OwnServingCpu,
    /// With publisher and router, which take the events in; a peer does that in the same process.
    OwnAllCpu,
    /// The broker's part.
    OwnBrokerCpu,
    /// The latency there.
    OwnP99,
    /// 1,000 streams that missed 100 events each are back and have all.
    DropSeconds,
    /// What that costs.
    DropCpu,
    /// 1,000 streams × 50/s: the latency beside 100 that take nothing, against that without.
    StalledTimes,
    /// The same beside some that read the past.
    PastTimes,
}

/// What a figure is to reach, by the medians of the same run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Stated for comparison only.
    None,
    /// At most this.
    AtMost(f64),
    /// At most so many times the floor, and so much more.
    Floor {
        /// Times the floor.
        times: f64,
        /// And more.
        plus: f64,
    },
    /// At most so many times nchan's.
    AtMostNchan(f64),
    /// At least so many times nchan's.
    AtLeastNchan(f64),
}

impl Figure {
    /// All, in the order of the table.
    pub(crate) const ALL: [Self; 16] = [
        Self::IdleBytes,
        Self::ConnectsPerSecond,
        Self::SteadyCpu,
        Self::SteadyP99,
        Self::WideCpu,
        Self::WideP99,
        Self::MostDeliveries,
        Self::MostCpu,
        Self::OwnServingCpu,
        Self::OwnAllCpu,
        Self::OwnBrokerCpu,
        Self::OwnP99,
        Self::DropSeconds,
        Self::DropCpu,
        Self::StalledTimes,
        Self::PastTimes,
    ];

    /// The row's head.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::IdleBytes => "process bytes per idle stream, each on its own channel (10,000)",
            Self::ConnectsPerSecond => "… connects/s",
            Self::SteadyCpu => "CPU s per million deliveries, 1,000 streams × 50/s",
            Self::SteadyP99 => "… p99 publish → socket, ms",
            Self::WideCpu => "CPU s/M, 10,000 streams × 10/s",
            Self::WideP99 => "… p99 publish → socket, ms",
            Self::MostDeliveries => "most deliveries/s to 1,000 streams",
            Self::MostCpu => "… CPU s/M there",
            Self::OwnServingCpu => "CPU s/M, 5,000 streams on their own channels, 5,000/s: the edge alone",
            Self::OwnAllCpu => "… with publisher and router",
            Self::OwnBrokerCpu => "… the broker, apart",
            Self::OwnP99 => "… p99 publish → socket, ms",
            Self::DropSeconds => "1,000 dropped, 100 missed each: all caught up, s",
            Self::DropCpu => "… CPU s",
            Self::StalledTimes => "p99 of 1,000 streams × 50/s beside 100 that take nothing, times that without",
            Self::PastTimes => "… beside 4 that read all of the past, times that without",
        }
    }

    /// What is aimed at.
    pub(crate) const fn target(self) -> Target {
        match self {
            Self::IdleBytes => Target::AtMost(2_048.0),
            Self::SteadyCpu | Self::WideCpu => Target::Floor { times: 1.1, plus: 0.0 },
            Self::WideP99 => Target::Floor { times: 1.0, plus: 20.0 },
            Self::MostDeliveries => Target::AtLeastNchan(1.3),
            Self::MostCpu => Target::AtMostNchan(0.7),
            Self::OwnServingCpu => Target::AtMost(12.0),
            Self::OwnAllCpu => Target::AtMostNchan(1.0),
            Self::DropSeconds => Target::AtMost(0.15),
            Self::DropCpu => Target::AtMost(0.25),
            Self::StalledTimes => Target::AtMost(1.1),
            Self::PastTimes => Target::AtMost(2.0),
            Self::ConnectsPerSecond | Self::SteadyP99 | Self::OwnBrokerCpu | Self::OwnP99 => Target::None,
        }
    }

    /// Whether more is better.
    pub(crate) const fn more_is_better(self) -> bool {
        match self {
            Self::ConnectsPerSecond | Self::MostDeliveries => true,
            Self::IdleBytes
            | Self::SteadyCpu
            | Self::SteadyP99
            | Self::WideCpu
            | Self::WideP99
            | Self::MostCpu
            | Self::OwnServingCpu
            | Self::OwnAllCpu
            | Self::OwnBrokerCpu
            | Self::OwnP99
            | Self::DropSeconds
            | Self::DropCpu
            | Self::StalledTimes
            | Self::PastTimes => false,
        }
    }

    /// In how many digits behind the point it is printed.
    pub(crate) const fn digits(self) -> usize {
        match self {
            Self::IdleBytes | Self::ConnectsPerSecond | Self::MostDeliveries => 0,
            Self::SteadyCpu
            | Self::WideCpu
            | Self::MostCpu
            | Self::DropSeconds
            | Self::DropCpu
            | Self::StalledTimes
            | Self::PastTimes => 2,
            Self::SteadyP99
            | Self::WideP99
            | Self::OwnServingCpu
            | Self::OwnAllCpu
            | Self::OwnBrokerCpu
            | Self::OwnP99 => 1,
        }
    }
}

impl Target {
    /// In words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::None => String::new(),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Floor { times, plus: 0.0 } => format!("≤ {times} × floor"),
            Self::Floor { plus, .. } => format!("≤ floor + {plus}"),
            Self::AtMostNchan(times) => format!("≤ {times} × nchan"),
            Self::AtLeastNchan(times) => format!("≥ {times} × nchan"),
        }
    }

    /// Whether `ours` reaches it; none where there is no target, or nothing to compare with.
    pub(crate) fn met(self, ours: f64, of: impl Fn(Contender) -> Option<f64>) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtMost(most) => Some(ours <= most),
            Self::Floor { times, plus } => of(Contender::Floor).map(|floor| ours <= floor * times + plus),
            Self::AtMostNchan(times) => of(Contender::Nchan).map(|nchan| ours <= nchan * times),
            Self::AtLeastNchan(times) => of(Contender::Nchan).map(|nchan| ours >= nchan * times),
        }
    }
}
