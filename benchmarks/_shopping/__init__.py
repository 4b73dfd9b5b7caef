"""The shop of the proof `shopping-run`: the demo shop, small, with everything that may record switched on."""
