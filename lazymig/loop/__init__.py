"""The event loop: clock, deadlines, turns, work behind the callers. asyncio only, and no driver."""
