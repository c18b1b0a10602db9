//! `tidegate migrate`: makes the tables of the store, once, however many call it.

use store::cql::migrate;

use crate::failure::Failure;
use crate::flags::ServeFlags;
use crate::verb::say;

pub(super) async fn run(flags: &ServeFlags) -> Result<(), Failure> {
    let (config, mut errors) = flags.load()?;
    let hosts = config.cql.clone().unwrap_or_else(|| {
        errors.push("`tidegate migrate` needs --cql HOSTS".to_owned());
        String::new()
    });
    if !errors.is_empty() {
        return Err(Failure::Usage(errors));
    }
    let migrated = migrate(&config.cql_client.store(&hosts), config.replication).await.map_err(Failure::of)?;
    let keyspace = &config.cql_client.keyspace;
    match migrated.from == migrated.to {
        true => say(&format!("the tables of {keyspace} are of version {}, as they should be", migrated.to)),
        false => say(&format!("the tables of {keyspace} went from version {} to {}", migrated.from, migrated.to)),
    }
}
