package org.ailurus.demo.model

import java.io.File
import java.io.InputStream
import java.io.OutputStream
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import org.ailurus.AilurusException
import org.ailurus.Client
import org.ailurus.KeyVault

/**
 * The one profile of this app, shared by its screens and its job. What was begun is done to its end, though the screen
 * that began it is gone, as when the phone is turned: the screen in its place waits for it and finds the client.
 *
 * @param cache where a backup lies for as long as it is copied: the library writes files, and Android gives streams.
 */
class Profile(private val folder: File, private val cache: File, private val vault: KeyVault) {
    private val opening = Mutex()
    private val copying = Mutex()
    private val opened = MutableStateFlow<Client?>(null)

    /** The client, once it is open. */
    val client: StateFlow<Client?> = opened

    /** Opens the profile unless it is open; null if there is none yet. */
    suspend fun open(): Client? = toItsEnd {
        opened.value ?: try {
            keep(Client.openWithVault(folder.path, vault))
        } catch (_: AilurusException.NoProfile) {
            null
        }
    }

    /** The first start, with the link of a super node unless one is added later. */
    suspend fun create(name: String, node: String? = null): Client = toItsEnd {
        keep(Client.createWithVault(folder.path, vault, name.trim(), listOfNotNull(node)))
    }

    /** The first start on a new phone. */
    suspend fun restore(backup: InputStream, passphrase: String): Client = toItsEnd {
        withCopy { copy ->
            copy.outputStream().use { backup.copyTo(it) }
            keep(Client.importBackupWithVault(copy.path, passphrase, folder.path, vault))
        }
    }

    /** Writes a backup. */
    suspend fun backUp(client: Client, to: OutputStream, passphrase: String) {
        withCopy { copy ->
            client.exportBackup(copy.path, passphrase)
            copy.inputStream().use { it.copyTo(to) }
        }
    }

    /** What the profile takes on this phone, in bytes. */
    suspend fun size(): Long = withContext(Dispatchers.IO) {
        folder.walk().filter { it.isFile }.sumOf { it.length() }
    }

    private fun keep(client: Client): Client = client.also { opened.value = it }

    private suspend fun <T> toItsEnd(work: suspend () -> T): T {
        val result = opening.withLock { withContext(NonCancellable) { work() } }
        // A screen that is gone does nothing with it.
        currentCoroutineContext().ensureActive()
        return result
    }

    private suspend fun <T> withCopy(work: suspend (File) -> T): T = copying.withLock {
        withContext(NonCancellable + Dispatchers.IO) {
            // What was left when the process ended in the middle of it.
            cache.listFiles { file -> file.name.startsWith(COPY) }?.forEach { it.delete() }
            val copy = File.createTempFile(COPY, null, cache)
            try {
                // The library writes a new file only.
                copy.delete()
                work(copy)
            } finally {
                copy.delete()
            }
        }
    }

    private companion object {
        /** What the names of copies begin with. */
        const val COPY = "backup"
    }
}
