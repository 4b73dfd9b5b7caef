"""How a list is made: sources give candidates, filters take out, ranking gives scores, the shop has the last word."""
