package org.ailurus.demo

import org.ailurus.Client
import org.ailurus.PollReport
import org.ailurus.android.PollJobService
import org.ailurus.android.PollScheduler
import org.ailurus.demo.model.Announcer

/** Polls in the background and shows what came. */
class PollService : PollJobService() {
    private val app: DemoApp
        get() = application as DemoApp

    override suspend fun client(): Client? = app.open()

    override fun scheduler(): PollScheduler = app.scheduler

    override suspend fun onPolled(client: Client, report: PollReport) {
        val announcer = app.announcer ?: Announcer(client)
        announcer.announce(report).forEach { app.notifications().show(it) }
    }
}
