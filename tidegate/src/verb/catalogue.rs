//! `tidegate catalogue check|test`: whether catalogues are right, and whether their examples hold.

use std::path::Path;

use policy::{CatalogueErrors, CatalogueFiles, CatalogueSource, Catalogues};

use crate::failure::Failure;
use crate::verb::say;

/// What to do with catalogues.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Catalogue {
    /// Check schemas and policy; every mistake with file and line
    Check(Args),
    /// Check, then run the examples
    Test(Args),
}

/// Which.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directories, or names of catalogues that ship [default: all that ship]
    #[arg(value_name = "DIR|NAME")]
    catalogues: Vec<String>,
    /// Accepted for symmetry with the other verbs; nothing is read there
    #[arg(long, value_name = "DIR", hide = true)]
    data: Option<String>,
}

pub(super) fn run(verb: &Catalogue) -> Result<(), Failure> {
    match verb {
        Catalogue::Check(args) => check(args).and_then(|loaded| {
            say(&format!("{} types of {} catalogues are right", loaded.types().count(), args.names().len()))
        }),
        Catalogue::Test(args) => test(&check(args)?),
    }
}

impl Args {
    fn names(&self) -> Vec<String> {
        if self.catalogues.is_empty() { Catalogues::shipped() } else { self.catalogues.clone() }
    }
}

/// Loads catalogues by name or directory.
///
/// # Errors
/// Everything that is wrong with any of them.
pub(crate) fn load(names: &[String]) -> Result<Catalogues, CatalogueErrors> {
    Catalogues::of(read(names))
}

/// Reads the files of catalogues by name or directory, as they are now.
pub(crate) fn read(names: &[String]) -> CatalogueFiles {
    let sources: Vec<CatalogueSource> = names.iter().map(|name| source(name)).collect();
    CatalogueFiles::read(&sources)
}

/// Whether some of them stand in directories, whose files may change.
pub(crate) fn may_change(names: &[String]) -> bool {
    names.iter().any(|name| matches!(source(name), CatalogueSource::Directory(_)))
}

/// A name of one that ships wins over a directory of the same name; a path has a slash or a dot.
fn source(name: &str) -> CatalogueSource {
    if Catalogues::shipped().iter().any(|shipped| shipped == name) || !Path::new(name).exists() && !name.contains('/') {
        CatalogueSource::Shipped(name.to_owned())
    } else {
        CatalogueSource::Directory(name.into())
    }
}

fn check(args: &Args) -> Result<Catalogues, Failure> {
    load(&args.names()).map_err(|errors| Failure::Usage(errors.lines))
}

fn test(catalogues: &Catalogues) -> Result<(), Failure> {
    let (examples, wrong) = catalogues.run_examples();
    if wrong.is_empty() {
        return say(&format!("{examples} examples hold"));
    }
    Err(Failure::Failed(format!("{}\n{} of {examples} examples do not hold", wrong.join("\n"), wrong.len())))
}
