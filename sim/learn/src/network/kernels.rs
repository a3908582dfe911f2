//! Matrix products in the widest vectors the machine has.
