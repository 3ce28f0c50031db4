//! Random stories, each from a seed.
//!
//! Rule: a seed tells the same story everywhere; a failure prints the seed and the shortest story that shows it.
