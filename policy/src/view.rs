//! Views: a payload trimmed for each set of labels that roles really hold (design 3.9).
//!
//! In: the labels that a schema carries, and what each role holds. Out: the sets that get a view of their own. A label that
//! no role holds is in none of them, so its fields are shown to nobody.

use std::collections::BTreeSet;

use schemas::id::Label;
use schemas::limits;

/// A set of labels that gets a view.
pub(crate) type LabelSet = BTreeSet<Label>;

/// A type would have more views than [`limits::VIEWS_PER_TYPE`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the roles hold its labels in more than {limit} ways, and each would be a view", limit = limits::VIEWS_PER_TYPE)]
pub(crate) struct TooManyViews;

/// The label sets of a type's views: what each role holds of the schema's labels, closed under union, the empty one included;
/// sorted by number of labels, then by text. Of the sets whose labels a reader holds, the last is the largest, and holds all others.
///
/// # Errors
/// They are too many.
pub(crate) fn label_sets<'a>(
    carried: &LabelSet,
    roles: impl IntoIterator<Item = &'a LabelSet>,
) -> Result<Vec<LabelSet>, TooManyViews> {
    let mut sets = BTreeSet::from([LabelSet::new()]);
    for role in roles {
        let held: LabelSet = role.intersection(carried).cloned().collect();
        let unions: Vec<LabelSet> = sets.iter().map(|set| set | &held).collect();
        sets.extend(unions);
        if sets.len() > limits::VIEWS_PER_TYPE {
            return Err(TooManyViews);
        }
    }
    let mut sets: Vec<LabelSet> = sets.into_iter().collect();
    sets.sort_by_key(LabelSet::len);
    Ok(sets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(labels: &[&str]) -> LabelSet {
        labels.iter().map(|label| Label::parse(label).unwrap()).collect()
    }

    fn some_labels() -> impl Strategy<Value = LabelSet> {
        proptest::collection::btree_set(0..5_u8, 0..4)
            .prop_map(|picks| picks.into_iter().map(|pick| Label::parse(&format!("label{pick}")).unwrap()).collect())
    }

    #[test]
    fn what_no_role_holds_and_no_schema_carries_makes_no_view() {
        let sets =
            label_sets(&set(&["a", "b", "secret"]), [&set(&["a"]), &set(&["b", "elsewhere"]), &set(&[])]).unwrap();
        assert_eq!(sets, [set(&[]), set(&["a"]), set(&["b"]), set(&["a", "b"])]);
    }

    #[test]
    fn more_than_eight_are_refused() {
        let labels = ["a", "b", "c", "d"];
        let roles: Vec<LabelSet> = labels.iter().map(|label| set(&[label])).collect();
        assert_eq!(label_sets(&set(&labels), &roles[..3]).unwrap().len(), limits::VIEWS_PER_TYPE);
        assert_eq!(label_sets(&set(&labels), &roles), Err(TooManyViews));
    }

    proptest! {
        #[test]
        fn the_sets_are_closed_sorted_and_exact_for_every_holder_of_roles(
            carried in some_labels(),
            roles in proptest::collection::vec(some_labels(), 0..4),
            picks in proptest::collection::vec(any::<bool>(), 4),
        ) {
            let Ok(sets) = label_sets(&carried, &roles) else { return Ok(()) };
            prop_assert!(sets[0].is_empty());
            prop_assert!(sets.windows(2).all(|pair| (pair[0].len(), &pair[0]) < (pair[1].len(), &pair[1])));
            for (a, b) in sets.iter().zip(&sets) {
                prop_assert!(sets.contains(&(a | b)));
            }
            let held: LabelSet = roles.iter().zip(picks).filter(|(_, pick)| *pick).flat_map(|(role, _)| role.clone()).collect();
            let chosen = sets.iter().rfind(|set| set.is_subset(&held)).unwrap();
            prop_assert_eq!(chosen, &held.intersection(&carried).cloned().collect::<LabelSet>());
        }
    }
}
