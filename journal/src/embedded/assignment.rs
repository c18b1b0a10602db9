//! Who gets which partition of a group: pure. Everyone keeps what they have as far as the shares stay even.

use std::collections::{BTreeMap, BTreeSet};

use schemas::partition::TopicPartition;

/// Members by number, and what each may own.
pub(super) type Wishes = BTreeMap<u64, BTreeSet<TopicPartition>>;

/// Gives every partition that somebody may own to one of those. `kept` says who has it now. Shares differ by at most
/// one where all may own the same; no partition moves that need not; the same question has the same answer.
pub(super) fn assign(wishes: &Wishes, kept: &BTreeMap<TopicPartition, u64>) -> BTreeMap<TopicPartition, u64> {
    let may = |member: &u64, partition: &TopicPartition| wishes.get(member).is_some_and(|own| own.contains(partition));
    let mut shares: BTreeMap<u64, usize> = wishes.keys().map(|member| (*member, 0)).collect();
    let mut assigned = BTreeMap::new();
    let mut free = BTreeSet::new();
    for partition in wishes.values().flatten() {
        match kept.get(partition).filter(|member| may(member, partition)) {
            Some(member) => {
                if assigned.insert(partition.clone(), *member).is_none() {
                    *shares.entry(*member).or_default() += 1;
                }
            }
            None => {
                free.insert(partition.clone());
            }
        }
    }
    for partition in free {
        if let Some(member) = least(&shares, |member| may(member, &partition)) {
            *shares.entry(member).or_default() += 1;
            assigned.insert(partition, member);
        }
    }
    while let Some((partition, from, to)) = uneven(&assigned, &shares, may) {
        *shares.entry(from).or_default() -= 1;
        *shares.entry(to).or_default() += 1;
        assigned.insert(partition, to);
    }
    assigned
}

/// The last partition of who has most of all that makes the shares more even when it moves: who has no more than their share keeps it.
/// Every such move makes the sum of the squares of the shares smaller, so there is a last one.
fn uneven(
    assigned: &BTreeMap<TopicPartition, u64>,
    shares: &BTreeMap<u64, usize>,
    may: impl Fn(&u64, &TopicPartition) -> bool,
) -> Option<(TopicPartition, u64, u64)> {
    let share = |member: &u64| shares.get(member).copied().unwrap_or_default();
    let moves = assigned.iter().filter_map(|(partition, from)| {
        let to = least(shares, |member| may(member, partition))?;
        (share(from) >= share(&to) + 2).then_some((partition, *from, to))
    });
    moves.max_by_key(|(_, from, _)| share(from)).map(|(partition, from, to)| (partition.clone(), from, to))
}

fn least(shares: &BTreeMap<u64, usize>, may: impl Fn(&u64) -> bool) -> Option<u64> {
    shares.iter().filter(|(member, _)| may(member)).min_by_key(|(member, share)| (**share, **member)).map(|(m, _)| *m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partitions(count: u32) -> BTreeSet<TopicPartition> {
        (0..count).map(|number| TopicPartition::new("t", number)).collect()
    }

    fn shares(assigned: &BTreeMap<TopicPartition, u64>, members: u64) -> Vec<usize> {
        (0..members).map(|member| assigned.values().filter(|owner| **owner == member).count()).collect()
    }

    proptest! {
        #[test]
        fn shares_are_even_and_only_what_must_moves(
            members in 1..6_u64, count in 0..40_u32, owners in proptest::collection::vec(0..8_u64, 40),
        ) {
            let wishes: Wishes = (0..members).map(|member| (member, partitions(count))).collect();
            let kept: BTreeMap<_, _> = partitions(count).into_iter().zip(owners).collect();
            let assigned = assign(&wishes, &kept);
            prop_assert_eq!(assigned.len(), wishes[&0].len());
            let even = shares(&assigned, members);
            prop_assert!(even.iter().max().unwrap() - even.iter().min().unwrap() <= 1);
            let had = shares(&kept, members);
            let floor = even.iter().min().unwrap();
            for (partition, owner) in &kept {
                let moved = *owner < members && assigned[partition] != *owner;
                let before = had.get(usize::try_from(*owner).unwrap()).copied().unwrap_or_default();
                prop_assert!(!moved || before > *floor, "{partition} left {owner}, who had no more than the others");
            }
            prop_assert_eq!(assign(&wishes, &assigned), assigned.clone());
        }

        #[test]
        fn nobody_gets_what_they_may_not_own(
            wanted in proptest::collection::vec(proptest::collection::btree_set(0..12_u32, 0..12), 1..5),
        ) {
            let wishes: Wishes = (0..).zip(wanted).map(|(member, numbers)| {
                (member, numbers.into_iter().map(|number| TopicPartition::new("t", number)).collect())
            }).collect();
            let assigned = assign(&wishes, &BTreeMap::new());
            let all: BTreeSet<_> = wishes.values().flatten().cloned().collect();
            prop_assert_eq!(assigned.keys().cloned().collect::<BTreeSet<_>>(), all);
            prop_assert!(assigned.iter().all(|(partition, member)| wishes[member].contains(partition)));
        }
    }
}
