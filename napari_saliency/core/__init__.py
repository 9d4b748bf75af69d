"""The frozen data that every room speaks in; numpy only."""
