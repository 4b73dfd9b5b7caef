"""The parts of the kill test: the processes that are killed, the storm that kills them, the count afterwards."""
