package org.ailurus

import java.time.Instant
import java.time.ZoneId

/** What was spent today and in the last 7 days, where today begins at midnight in this time zone: the phone's own. */
public suspend fun Client.usage(zone: ZoneId = ZoneId.systemDefault()): UsageReport =
    usage(zone.rules.getOffset(Instant.now()).totalSeconds)
