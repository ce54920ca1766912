package org.ailurus.demo.screens

import android.app.Activity
import android.app.AlertDialog
import android.app.Notification
import android.app.NotificationManager
import android.app.job.JobInfo
import android.app.job.JobParameters
import android.app.job.JobScheduler
import android.content.ClipData
import android.content.ClipboardManager
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.view.WindowManager
import android.widget.Button
import android.widget.EditText
import android.widget.ListView
import android.widget.RadioButton
import android.widget.TextView
import java.io.ByteArrayOutputStream
import java.io.File
import java.time.Duration
import kotlinx.coroutines.runBlocking
import org.ailurus.AccessKind
import org.ailurus.AppState
import org.ailurus.Client
import org.ailurus.LinkInfo
import org.ailurus.Preference
import org.ailurus.android.PollJobService
import org.ailurus.android.PollScheduler
import org.ailurus.demo.BarView
import org.ailurus.demo.BatteryActivity
import org.ailurus.demo.ChannelsActivity
import org.ailurus.demo.ChatActivity
import org.ailurus.demo.DemoApp
import org.ailurus.demo.JoinActivity
import org.ailurus.demo.MembersActivity
import org.ailurus.demo.PollService
import org.ailurus.demo.QrView
import org.ailurus.demo.R
import org.ailurus.demo.ScanActivity
import org.ailurus.demo.SettingsActivity
import org.ailurus.demo.ShareActivity
import org.ailurus.demo.StartActivity
import org.ailurus.demo.model.Links
import org.ailurus.demo.model.MemoryVault
import org.ailurus.demo.model.Node
import org.ailurus.demo.model.Profile
import org.ailurus.inspectLink
import org.ailurus.readQrPng
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowDialog
import org.robolectric.shadows.ShadowJobService
import org.robolectric.shadows.ShadowLog
import org.xmlpull.v1.XmlPullParser

/** Drives the activities as fingers would, and leaves pictures of them in target/android-demo/screenshots. */
@RunWith(RobolectricTestRunner::class)
@Config(qualifiers = "en-w360dp-h640dp-xhdpi")
class ScreensTest {
    private lateinit var node: Node
    private val app = RuntimeEnvironment.getApplication() as DemoApp

    @Before
    fun start() {
        node = Node()
    }

    @After
    fun stop() {
        app.profile.client.value?.let { runBlocking { it.shutdown() } }
        node.close()
    }

    @Test
    fun `without a profile the list leads to the first start`() {
        val list = open(ChannelsActivity::class.java)

        wait("the first start") { list.isFinishing }

        assertEquals(StartActivity::class.java.name, shadowOf(list).nextStartedActivity.component?.className)
    }

    @Test
    fun `the first start needs a name and the link of a node`() {
        val start = open(StartActivity::class.java)
        start.click(R.id.create)
        assertEquals(start.getString(R.string.start_no_name), start.find<EditText>(R.id.name).error)

        start.find<EditText>(R.id.name).setText("Alice")
        start.find<EditText>(R.id.node).setText("nonsense")
        start.click(R.id.create)
        wait("a sentence") { ShadowDialog.getLatestDialog() != null }
        assertEquals(start.getString(R.string.problem_bad_link), message(ShadowDialog.getLatestDialog() as AlertDialog))
        assertFalse(start.isFinishing)
    }

    @Test
    fun `an invitation is enough for the first start`() {
        val start = open(StartActivity::class.java)
        start.find<EditText>(R.id.name).setText("Alice")
        start.find<EditText>(R.id.node).setText(node.invite())
        start.click(R.id.create)
        wait("the list") { start.isFinishing }
        val nodes = runBlocking { app.open()!!.nodes() }
        assertEquals(listOf(node.link), nodes.map { it.link })
    }

    @Test
    fun `from the first start to a chat`() = firstChat("")

    @Test
    @Config(qualifiers = "de-w360dp-h640dp-night-xhdpi")
    fun `the same in German and in the dark`() = firstChat("-de-night")

    private fun firstChat(suffix: String) {
        val start = open(StartActivity::class.java)
        start.find<EditText>(R.id.name).setText("Alice")
        start.find<EditText>(R.id.node).setText(node.link)
        start.picture("start$suffix")
        start.click(R.id.create)
        wait("the list") { start.isFinishing }
        assertEquals(ChannelsActivity::class.java.name, shadowOf(start).nextStartedActivity.component?.className)

        val list = open(ChannelsActivity::class.java)
        list.click(R.id.create)
        val dialog = ShadowDialog.getLatestDialog() as AlertDialog
        dialog.window!!.decorView.first(EditText::class.java).setText("Rust")
        dialog.getButton(AlertDialog.BUTTON_POSITIVE).performClick()
        wait("the new chat") { shadowOf(list).peekNextStartedActivity()?.component?.className == ChatActivity::class.java.name }
        val opening = shadowOf(list).nextStartedActivity

        val controller = Robolectric.buildActivity(ChatActivity::class.java, opening).setup()
        val chat = controller.get()
        chat.find<EditText>(R.id.text).setText("hello")
        wait("the name") { chat.title == "Rust" }
        chat.click(R.id.send)
        val messages = chat.find<ListView>(R.id.list)
        wait("delivery") {
            state(messages)?.contentDescription == chat.getString(R.string.state_at_node)
        }
        assertEquals("", chat.find<EditText>(R.id.text).text.toString())

        val bob = profile("Bob").also { it.setAppState(AppState.FOREGROUND) }
        val (read, joined) = share(chat, controller, suffix)
        assertEquals("Rust", read.name)
        val there = runBlocking { bob.join(joined) }
        runBlocking { there.send("hello Alice, this is Bob: the code on your screen works") }
        wait("Bob") { messages.count == 2 && messages.getChildAt(1)?.find<TextView>(R.id.author)?.text == "Bob" }
        chat.picture("chat$suffix")
        wait("reading") { runBlocking { app.profile.client.value!!.channels().single().unread == 0uL } }

        messages.onItemLongClickListener.onItemLongClick(messages, messages.getChildAt(0), 0, 0)
        (ShadowDialog.getLatestDialog() as AlertDialog).getButton(AlertDialog.BUTTON_POSITIVE).performClick()
        wait("deletion") { messages.count == 1 }

        controller.pause().stop()
        runBlocking { there.send("are you there?") }
        list.let { wait("an unread message") { unread(it)?.text == "1" } }
        list.picture("channels$suffix")

        val members = open(MembersActivity::class.java, MembersActivity.intent(app, there.id()))
        wait("members") { members.find<ListView>(R.id.list).count == 2 }
        members.picture("members$suffix")
        val settings = open(SettingsActivity::class.java)
        wait("nodes and storage") {
            node.link in settings.find<TextView>(R.id.nodes).text && settings.find<TextView>(R.id.storage).text.isNotEmpty()
        }
        settings.picture("settings$suffix")
        battery(suffix)
        runBlocking { bob.shutdown() }
    }

    /** From the list's menu: today's usage as bars, the plan in words, and the user's choice. */
    private fun battery(suffix: String) {
        val list = open(ChannelsActivity::class.java)
        shadowOf(list).clickMenuItem(R.id.battery)
        val battery = open(BatteryActivity::class.java, shadowOf(list).nextStartedActivity)
        val chart = battery.find<ViewGroup>(R.id.chart)
        wait("what was spent") { chart.childCount > 0 }
        assertEquals("the longest bar is first", 1f, chart.getChildAt(0).find<BarView>(R.id.bar).share)
        assertTrue(battery.find<TextView>(R.id.today).text.any(Char::isDigit))
        val words = battery.find<TextView>(R.id.plan).text.lines()
        assertTrue("$words", words.size >= 2)
        val client = app.profile.client.value!!
        assertTrue(battery.find<RadioButton>(R.id.balanced).isChecked)
        battery.picture("battery$suffix")
        battery.find<RadioButton>(R.id.frugal).performClick()
        wait("the choice") { client.preference() == Preference.FRUGAL }
        battery.finish()
    }

    /** The link that is on the screen, read from the picture of it. */
    private fun share(chat: Activity, controller: ActivityController<*>, suffix: String): Pair<LinkInfo.Channel, String> {
        controller.pause()
        shadowOf(chat).clickMenuItem(R.id.share)
        val share = open(ShareActivity::class.java, shadowOf(chat).nextStartedActivity)
        assertNotEquals("no screenshots of links", 0, share.window.attributes.flags and WindowManager.LayoutParams.FLAG_SECURE)
        val code = share.find<QrView>(R.id.code)
        wait("a code") { code.code != null }
        share.picture("share$suffix")
        val png = ByteArrayOutputStream().also { drawn(code).compress(Bitmap.CompressFormat.PNG, 100, it) }
        val link = readQrPng(png.toByteArray()).single()

        share.click(R.id.send)
        val sent = shadowOf(share).nextStartedActivity.getParcelableExtra(Intent.EXTRA_INTENT, Intent::class.java)!!
        assertEquals(Links.toShare(link), sent.getStringExtra(Intent.EXTRA_TEXT))
        share.finish()
        controller.resume()
        return inspectLink(link) as LinkInfo.Channel to link
    }

    @Test
    fun `a link from another app is shown before it is used`() {
        val bob = profile("Bob")
        val link = runBlocking { bob.createChannel("Kotlin").link(AccessKind.FULL, true) }
        runBlocking { app.open(); app.profile.create("Alice", node.link) }
        val view = Intent(Intent.ACTION_VIEW, Uri.parse("ailurus:$link"))
        assertEquals(view.data, JoinActivity.intent(app, "ailurus:$link").data)
        val send = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, "Join us: $link")
        for (intent in listOf(view, send)) {
            val found = app.packageManager.queryIntentActivities(intent.setPackage(app.packageName), 0)
            assertEquals(JoinActivity::class.java.name, found.single().activityInfo.name)
            val join = open(JoinActivity::class.java, intent)
            wait("what it is for") { "Kotlin" in join.find<TextView>(R.id.what).text }
            assertTrue(runBlocking { app.profile.client.value!!.channels() }.isEmpty())
            if (intent === send) {
                join.picture("join")
                join.click(R.id.accept)
                wait("the chat") { join.isFinishing }
                assertEquals(ChatActivity::class.java.name, shadowOf(join).nextStartedActivity.component?.className)
            }
        }
        assertEquals("Kotlin", runBlocking { app.profile.client.value!!.channels().single().name })
        runBlocking { bob.shutdown() }
    }

    @Test
    fun `a job polls, notifies and plans the next one`() {
        val (alice, bob) = aliceAndBob()
        runBlocking { bob.say("hello Alice") }
        val jobs = app.getSystemService(JobScheduler::class.java)!!
        alice.setAppState(AppState.BACKGROUND)
        runBlocking { app.scheduler.schedule(alice) }
        val planned = jobs.getPendingJob(PollScheduler.JOB_ID)!!
        assertTrue(planned.isPersisted)
        assertTrue("${planned.minLatencyMillis}", planned.minLatencyMillis in 60_000L..3_600_000L)
        assertEquals("a deadline starts it without a network", 0L, planned.maxExecutionDelayMillis)
        assertEquals(JobInfo.NETWORK_TYPE_ANY, planned.networkType)
        runBlocking { app.scheduler.schedule(alice) }
        assertSame("a job that fits is left alone", planned, jobs.getPendingJob(PollScheduler.JOB_ID))
        jobs.cancelAll()

        val service = Robolectric.buildService(PollService::class.java).create().get()
        val parameters = Shadow.newInstanceOf(JobParameters::class.java)
        assertTrue(service.onStartJob(parameters))

        wait("a notification") { shown("messages") != null }
        wait("the next job") { jobs.getPendingJob(PollScheduler.JOB_ID) != null }
        val shown = shown("messages")!!
        assertEquals("what came quietly before must not silence it", 0, shown.flags and Notification.FLAG_ONLY_ALERT_ONCE)
        assertEquals("Bob: hello Alice", shown.extras.getString(Notification.EXTRA_TEXT))
        assertEquals("Rust", shown.extras.getString(Notification.EXTRA_TITLE))
        runBlocking { bob.shutdown() }
    }

    @Test
    fun `what a poll brought that was cut short is shown, and makes no sound`() {
        val (alice, bob) = aliceAndBob()
        shadowOf(Looper.getMainLooper()).idle()
        runBlocking { bob.say("hello Alice") }

        runBlocking { alice.syncOnce(Duration.ofSeconds(20)) }

        wait("a notification") { shown("messages") != null }
        val shown = shown("messages")!!
        assertEquals("Bob: hello Alice", shown.extras.getString(Notification.EXTRA_TEXT))
        assertEquals(Notification.GROUP_ALERT_SUMMARY, shown.groupAlertBehavior)
        runBlocking { bob.shutdown() }
    }

    @Test
    fun `a job whose successor cannot be planned ends once`() {
        runBlocking { app.open(); app.profile.create("Alice", node.link) }
        val service = Robolectric.buildService(UnplannedService::class.java).create().get()

        service.onStartJob(Shadow.newInstanceOf(JobParameters::class.java))

        wait("a word about it") { ShadowLog.getLogsForTag("ailurus").any { "too many jobs" in it.msg } }
        Thread.sleep(100)
        val job = Shadow.extract<ShadowJobService>(service)
        assertTrue(job.isJobFinished)
        assertFalse("it ended twice", job.isRescheduleNeeded)
    }

    @Test
    fun `no folder of the app leaves the phone`() {
        val folders = setOf("root", "file", "database", "sharedpref", "external")
        val ofDevice = setOf("device_root", "device_file", "device_database", "device_sharedpref")
        val excluded = mutableMapOf<String, Set<String>>()
        val rules = app.resources.getXml(R.xml.no_extraction)
        var section = ""
        while (rules.next() != XmlPullParser.END_DOCUMENT) {
            when {
                rules.eventType != XmlPullParser.START_TAG -> {}
                rules.depth == 2 -> section = rules.name
                rules.name == "exclude" ->
                    excluded.merge(section, setOf(rules.getAttributeValue(null, "domain"))) { all, one -> all + one }
            }
        }

        assertEquals(listOf("cloud-backup", "device-transfer").associateWith { folders + ofDevice }, excluded)
    }

    @Test
    fun `a link is pasted where there is no camera`() {
        val scan = open(ScanActivity::class.java)
        val clipboard = app.getSystemService(ClipboardManager::class.java)!!
        clipboard.setPrimaryClip(ClipData.newPlainText("", node.link))
        scan.click(R.id.paste)

        wait("the link") { scan.isFinishing }
        assertEquals(node.link, shadowOf(scan).resultIntent.getStringExtra(ScanActivity.LINK))
    }

    class UnplannedService : PollJobService() {
        override suspend fun client(): Client? = (application as DemoApp).open()

        override fun scheduler(): PollScheduler = error("too many jobs")
    }

    /** Both in a channel of Bob's, and Alice in the background. */
    private fun aliceAndBob(): Pair<Client, Client> = runBlocking {
        val bob = profile("Bob")
        val link = bob.createChannel("Rust").link(AccessKind.FULL, true)
        val alice = app.profile.create("Alice", node.link)
        alice.join(link)
        alice.syncOnce(Duration.ofSeconds(20))
        alice to bob
    }

    private suspend fun Client.say(text: String) {
        channel(channels().single().id).send(text)
        syncOnce(Duration.ofSeconds(20))
    }

    private fun shown(kind: String): Notification? =
        shadowOf(app.getSystemService(NotificationManager::class.java)).allNotifications.firstOrNull { it.channelId == kind }

    private fun profile(name: String): Client = runBlocking {
        app.open()
        Profile(File(app.cacheDir, name), app.cacheDir, MemoryVault()).create(name, node.link)
    }

    private fun <T : Activity> open(screen: Class<T>, intent: Intent? = null): T =
        Robolectric.buildActivity(screen, intent).setup().get()

    private fun wait(what: String, condition: () -> Boolean) {
        val end = System.nanoTime() + 20_000_000_000
        while (true) {
            shadowOf(Looper.getMainLooper()).idle()
            if (condition()) {
                return
            }
            check(System.nanoTime() < end) { "waited too long for $what" }
            Thread.sleep(10)
        }
    }

    private fun message(dialog: AlertDialog): String = dialog.find<TextView>(android.R.id.message).text.toString()

    private fun state(messages: ListView): TextView? = messages.getChildAt(0)?.find(R.id.state)

    private fun unread(list: Activity): TextView? = list.find<ListView>(R.id.list).getChildAt(0)?.find(R.id.unread)

    private fun Activity.picture(name: String) {
        // Until animations have come to their end.
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1))
        window.decorView.jumpDrawablesToCurrentState()
        val file = File(System.getProperty("ailurus.root"), "target/android-demo/screenshots/$name.png")
        file.parentFile!!.mkdirs()
        file.outputStream().use { drawn(window.decorView).compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    private fun drawn(view: View): Bitmap =
        Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }

    private fun Activity.click(id: Int) = find<Button>(id).performClick()

    private fun <T : View> Activity.find(id: Int): T = findViewById(id)

    private fun <T : View> View.find(id: Int): T = findViewById(id)

    private fun <T : View> AlertDialog.find(id: Int): T = findViewById(id)

    private fun <T : View> View.first(type: Class<T>): T =
        ArrayList<View>().also { addFocusables(it, View.FOCUS_DOWN) }.firstNotNullOf { if (type.isInstance(it)) type.cast(it) else null }
}
