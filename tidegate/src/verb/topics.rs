//! `tidegate topics apply|check`: the topics as they should be, beside what they are.

use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::log::{self, topic_plan};
use crate::verb::{catalogue, say};

/// What to do with the topics.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Topics {
    /// Make missing topics and set what differs; a number of partitions is never changed
    Apply(ServeFlags),
    /// Say what differs; exit status 1 where something does
    Check(ServeFlags),
}

pub(super) async fn run(verb: Topics) -> Result<(), Failure> {
    let (Topics::Apply(flags) | Topics::Check(flags)) = &verb;
    let (config, errors) = flags.load()?;
    if !errors.is_empty() {
        return Err(Failure::Usage(errors));
    }
    let catalogues = catalogue::load(&config.catalogue).map_err(|errors| Failure::Usage(errors.lines))?;
    let log = log::open(&config)?;
    let plan = topic_plan(&config, &log.names, &catalogues);
    match verb {
        Topics::Apply(_) => {
            let changed = plan.apply(&*log.journal).await.map_err(Failure::of)?;
            changed.iter().try_for_each(|difference| say(&format!("mended: {difference}")))?;
            say(&format!("{} topics are as they should be", plan.specs().count()))
        }
        Topics::Check(_) => {
            let differences = plan.check(&*log.journal).await.map_err(Failure::of)?;
            if differences.is_empty() {
                return say(&format!("{} topics are as they should be", plan.specs().count()));
            }
            let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
            Err(Failure::Failed(lines.join("\n")))
        }
    }
}
