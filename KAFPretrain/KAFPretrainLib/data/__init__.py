"""The Data tab: scans, patients, splits, and which scans to label first."""
