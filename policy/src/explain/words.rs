//! Decisions in words, for whoever asks why. Pure texts.

use schemas::delivery::Delivery;
use schemas::id::Label;
use schemas::time::Timestamp;

use crate::claims::Claims;
use crate::enrichment::{Finally, Missing};
use crate::reader::Withheld;

pub(super) fn in_words(missing: Missing) -> String {
    let finally = |then| match then {
        Finally::Pass => "it goes on with null there",
        Finally::DeadLetter => "it goes no further",
    };
    match missing {
        Missing::Pass => finally(Finally::Pass).to_owned(),
        Missing::DeadLetter => finally(Finally::DeadLetter).to_owned(),
        Missing::Park(within, then) => {
            format!("its channel waits for it, at most {} ms; then {}", within.as_millis(), finally(then))
        }
    }
}

pub(super) fn withheld_in_words(
    withheld: Withheld,
    delivery: &Delivery,
    held: &[Label],
    (taken, from): (Timestamp, Option<Timestamp>),
) -> String {
    match withheld {
        Withheld::Tenant => format!("it is of the tenant {}", delivery.tenant),
        Withheld::Label => format!("it requires {}, and they hold {}", labels(&delivery.required_labels), labels(held)),
        Withheld::Region => format!("it is for the regions {} only", delivery.regions.join(", ")),
        Withheld::User => format!("it is for {} only", delivery.only_users.join(", ")),
        Withheld::Author => "they are its author".to_owned(),
        Withheld::History => {
            let from = from.map_or_else(|| "now".to_owned(), |from| from.to_string());
            format!("the log took it at {taken}, and they see from {from} on")
        }
        Withheld::View => "no view of it fits".to_owned(),
    }
}

pub(super) fn who(claims: &Claims) -> String {
    let roles: Vec<&str> = claims.roles.iter().map(String::as_str).collect();
    match (&claims.sub, roles.is_empty()) {
        (Some(sub), true) => sub.clone(),
        (Some(sub), false) => format!("{sub} ({})", roles.join(", ")),
        (None, true) => "the anonymous".to_owned(),
        (None, false) => format!("somebody ({})", roles.join(", ")),
    }
}

pub(super) fn labels(labels: &[Label]) -> String {
    match labels {
        [] => "no label".to_owned(),
        labels => labels.iter().map(Label::as_str).collect::<Vec<_>>().join("+"),
    }
}
