package org.ailurus.demo

import android.Manifest
import android.app.Activity
import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.content.Context
import android.content.pm.PackageManager
import android.os.Build
import org.ailurus.ChannelId
import org.ailurus.demo.model.Announcement

/** Shows announcements. Each kind is a channel of Android's, which a person can switch off by itself. */
class Notifications(private val context: Context) {
    private enum class Kind(val id: String, val title: Int, val importance: Int) {
        MESSAGES("messages", R.string.notify_messages, NotificationManager.IMPORTANCE_HIGH),
        MEMBERS("members", R.string.notify_members, NotificationManager.IMPORTANCE_LOW),
        ROTATION("rotation", R.string.notify_rotation, NotificationManager.IMPORTANCE_DEFAULT),
    }

    private val manager = context.service<NotificationManager>()

    init {
        manager.createNotificationChannels(
            Kind.entries.map { NotificationChannel(it.id, context.getString(it.title), it.importance) },
        )
    }

    /** @param quiet without a sound, whatever the channel's settings say. */
    fun show(announcement: Announcement, quiet: Boolean = false) {
        val kind = kind(announcement)
        val channel = announcement.channel
        val open = PendingIntent.getActivity(
            context,
            channel.id.text.hashCode(),
            ChatActivity.intent(context, channel.id),
            PendingIntent.FLAG_IMMUTABLE or PendingIntent.FLAG_UPDATE_CURRENT,
        )
        val builder = Notification.Builder(context, kind.id)
            .setSmallIcon(R.drawable.notification)
            .setContentTitle(channel.name)
            .setContentText(text(announcement))
            .setNumber((announcement as? Announcement.Messages)?.count ?: 0)
            .setContentIntent(open)
            .setAutoCancel(true)
            .setVisibility(Notification.VISIBILITY_PRIVATE)
            .setPublicVersion(public(kind))
        if (quiet) {
            // Android has no other way for a single notification: one of a group whose summary alone would alert.
            builder.setGroup(channel.id.text).setGroupAlertBehavior(Notification.GROUP_ALERT_SUMMARY)
        }
        manager.notify(channel.id.text, kind.ordinal, builder.build())
    }

    /** Takes back what a person now sees in the app. */
    fun clear(channel: ChannelId) {
        Kind.entries.forEach { manager.cancel(channel.text, it.ordinal) }
    }

    /** A locked screen shows that something came, and nothing of it. */
    private fun public(kind: Kind): Notification = Notification.Builder(context, kind.id)
        .setSmallIcon(R.drawable.notification)
        .setContentTitle(context.getString(kind.title))
        .build()

    private fun kind(announcement: Announcement): Kind = when (announcement) {
        is Announcement.Messages -> Kind.MESSAGES
        is Announcement.Joined -> Kind.MEMBERS
        is Announcement.Rotated, is Announcement.Moved -> Kind.ROTATION
    }

    private fun text(announcement: Announcement): String = when (announcement) {
        is Announcement.Messages -> context.getString(R.string.notify_message, announcement.author, announcement.text)
        is Announcement.Joined -> context.getString(R.string.notify_joined, announcement.name)
        is Announcement.Rotated -> context.getString(R.string.notify_rotated)
        is Announcement.Moved -> context.getString(R.string.notify_moved)
    }

    companion object {
        /** Asks for what Android 13 wants to be asked for, once: after a refusal Android does not show it again. */
        fun askPermission(activity: Activity) {
            if (Build.VERSION.SDK_INT < Build.VERSION_CODES.TIRAMISU) {
                return
            }
            val permission = Manifest.permission.POST_NOTIFICATIONS
            if (activity.checkSelfPermission(permission) != PackageManager.PERMISSION_GRANTED) {
                activity.requestPermissions(arrayOf(permission), 0)
            }
        }
    }
}
