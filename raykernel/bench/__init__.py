"""The benchmark of the core operations, `raykernel bench`.

    command ── rows             what is measured, in which unit, and the goal
       │
    harness ── child (raykernel)     one process per engine, told row by row, round by round
            ── child (ray)           what to measure; the others idle meanwhile
            ── child (processpool)
       │
     table                      medians, spreads, ratios

`raykernel bench scale` goes another way: command ── scale ── laws, on raykernel alone.

Machines drift: the same program's rate moves by a factor of three with the load on the next core.
So a figure counts only as a ratio of two that were measured in turn, in one run.
"""
