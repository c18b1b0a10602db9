//! Views: a payload trimmed for each set of labels that roles really hold (design 3.9).
