//! `tidegate topics apply|check`: the topics as they should be, beside what they are.

use journal::topics::{Difference, Mismatch, TopicPlan};
use schemas::audit::{Act, Item};
use schemas::lane::Lane;

use crate::audit;
use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::log::{self, Log, topic_plan};
use crate::verb::{catalogue, say};

/// What to do with the topics.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Topics {
    /// Make missing topics, set what differs, and begin a generation of the delivery topics where `--partitions` is another number
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
            if !changed.is_empty() {
                let items = changed.iter().map(|difference| Item::named(&difference.to_string()));
                audit::act(&audit::open(&config, &log)?, Act::TopicsApply, "done", items).await?;
            }
            changed.iter().try_for_each(|difference| say(&mended(difference)))?;
            say_standing(&plan, &log).await
        }
        Topics::Check(_) => {
            let differences = plan.check(&*log.journal).await.map_err(Failure::of)?;
            if differences.is_empty() {
                return say_standing(&plan, &log).await;
            }
            let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
            Err(Failure::Failed(lines.join("\n")))
        }
    }
}

fn mended(difference: &Difference) -> String {
    match difference.mismatch {
        Mismatch::Generation { generation, wanted, found } => format!(
            "grown: generation {generation} has {wanted} partitions a lane, after {found}; running routers and edges go over to it within half \
             a minute, without a restart"
        ),
        Mismatch::Missing | Mismatch::Partitions { .. } | Mismatch::Config { .. } => format!("mended: {difference}"),
    }
}

/// Where the delivery topics have grown, also their generations.
async fn say_standing(plan: &TopicPlan, log: &Log) -> Result<(), Failure> {
    let generations = plan.standing(&*log.journal).await.map_err(Failure::of)?;
    let earlier = generations.len().saturating_sub(1);
    say(&format!("{} topics are as they should be", plan.specs().count() + earlier * Lane::ALL.len()))?;
    if let Some((newest, ended)) = generations.split_last().filter(|(_, ended)| !ended.is_empty()) {
        let ended: Vec<String> = ended.iter().map(ToString::to_string).collect();
        let number = generations.len();
        say(&format!(
            "generation {number} takes deliveries: {newest} partitions a lane; before it {}, kept until retention has emptied them",
            ended.join(", ")
        ))?;
    }
    Ok(())
}
