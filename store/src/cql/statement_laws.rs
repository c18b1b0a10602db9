//! What holds of every table and every statement, read from their texts: no ALLOW FILTERING, no table without a stated bound and lifetime, no
//! read of more than one partition, none without a limit.

use std::collections::BTreeMap;

use super::migrations::{files, statements};
use super::statements::ALL;

/// The key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    partition: Vec<String>,
    clustering: Vec<String>,
    columns: Vec<String>,
}

fn words(text: &str) -> Vec<String> {
    text.split(',')
        .map(|word| word.trim().trim_matches(['(', ')']).trim().to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let rest = &text[text.find(from)? + from.len()..];
    Some(&rest[..rest.find(to)?])
}

fn tables(texts: impl Iterator<Item = &'static str>) -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    for statement in texts.flat_map(statements) {
        let name = between(&statement, "CREATE TABLE IF NOT EXISTS ", " (").expect("a table that may exist").to_owned();
        let key = between(&statement, "PRIMARY KEY (", "\n").expect("a key");
        let (partition, clustering) = key.split_once(')').expect("a partition key in parentheses");
        let body = between(&statement, " (\n", "PRIMARY KEY").expect("columns");
        let columns = body.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
        let table = Table { partition: words(partition), clustering: words(clustering), columns };
        assert!(tables.insert(name.clone(), table).is_none(), "{name} is made twice");
    }
    tables
}

/// The names of all tables, or of those with such a column.
pub fn table_names(column: Option<&str>) -> Vec<String> {
    let has = |table: &Table| column.is_none_or(|column| table.columns.iter().any(|one| one == column));
    tables(files()).into_iter().filter(|(_, table)| has(table)).map(|(name, _)| name).collect()
}

/// The tables of a file that do not say the bound of a partition and when rows end, right above them.
fn unstated(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let states = |line: Option<&&str>, what: &str| {
        line.is_some_and(|line| line.starts_with(what) && line.len() > what.len() + 1)
    };
    let unstated = lines.iter().enumerate().filter(|(at, line)| {
        let above = |back: usize| at.checked_sub(back).and_then(|at| lines.get(at));
        line.starts_with("CREATE TABLE") && !(states(above(2), "-- bound:") && states(above(1), "-- ttl:"))
    });
    unstated.map(|(_, line)| (*line).to_owned()).collect()
}

/// What is wrong with a statement.
fn wrong(statement: &str, tables: &BTreeMap<String, Table>) -> Option<&'static str> {
    if statement.to_uppercase().contains("ALLOW FILTERING") {
        return Some("it filters");
    }
    let after = |word: &str| statement.split(word).nth(1).and_then(|rest| rest.split_whitespace().next());
    let name = ["INSERT INTO ", "UPDATE ", "FROM "].iter().find_map(|word| after(word));
    let Some(table) = name.and_then(|name| tables.get(name)) else { return Some("it is of no table") };
    if let Some(columns) = statement.starts_with("INSERT").then(|| between(statement, "(", ")")).flatten() {
        let columns = words(columns);
        let missing = table.partition.iter().chain(&table.clustering).any(|key| !columns.contains(key));
        let unknown = columns.iter().any(|column| !table.columns.contains(column));
        return (missing || unknown).then_some("it names other columns");
    }
    let condition = statement.split(" WHERE ").nth(1).unwrap_or_default();
    let condition = condition.split(" IF ").next().unwrap_or_default();
    let is_given = |key: &String| condition.split(" AND ").any(|part| part.trim().starts_with(&format!("{key} = ?")));
    if !table.partition.iter().all(is_given) {
        return Some("it reads or writes more than one partition");
    }
    let is_one_row = table.clustering.iter().all(is_given);
    // A whole partition goes only up to a time: what is written later stays.
    let is_whole = statement.contains(" USING TIMESTAMP ? ") && !table.clustering.iter().any(is_given);
    match statement.split(' ').next() {
        Some("SELECT") if !is_one_row && !statement.contains(" LIMIT ?") => Some("it reads rows without a limit"),
        Some("SELECT") => None,
        Some("DELETE") if is_whole => None,
        _ if !is_one_row => Some("it writes more than one row"),
        _ => None,
    }
}

#[test]
fn every_table_states_its_bound_and_its_lifetime() {
    let found: Vec<String> = files().flat_map(unstated).collect();
    assert_eq!(found, Vec::<String>::new());
    assert!(tables(files()).len() == 16);
    for bare in
        ["CREATE TABLE a (", "-- bound: 1 row\nCREATE TABLE a (", "-- bound:\n-- ttl: none: so\nCREATE TABLE a ("]
    {
        assert_eq!(unstated(bare).len(), 1, "{bare}");
    }
}

#[test]
fn every_statement_is_of_one_partition_and_bounded() {
    let tables = tables(files());
    for statement in ALL {
        assert_eq!(wrong(statement.text, &tables), None, "{}", statement.text);
    }
}

#[test]
fn a_statement_that_could_grow_is_found() {
    let tables = tables(files());
    let bad = [
        ("SELECT position FROM cursors WHERE tenant = ? AND device = ? ALLOW FILTERING", "it filters"),
        ("SELECT position FROM cursors WHERE tenant = ? LIMIT ?", "it reads or writes more than one partition"),
        ("SELECT position FROM cursors LIMIT ?", "it reads or writes more than one partition"),
        (
            "SELECT position FROM cursors WHERE tenant = ? AND sub IN ? LIMIT ?",
            "it reads or writes more than one partition",
        ),
        ("SELECT position FROM cursors WHERE tenant = ? AND sub = ?", "it reads rows without a limit"),
        ("DELETE FROM cursors WHERE tenant = ? AND sub = ?", "it writes more than one row"),
        (
            "DELETE FROM cursors USING TIMESTAMP ? WHERE tenant = ? AND sub = ? AND device = ?",
            "it writes more than one row",
        ),
        ("INSERT INTO cursors (tenant, sub) VALUES (?, ?)", "it names other columns"),
        ("SELECT a FROM nowhere WHERE b = ?", "it is of no table"),
    ];
    for (statement, why) in bad {
        assert_eq!(wrong(statement, &tables), Some(why), "{statement}");
    }
}
