package org.ailurus.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.view.Surface
import org.ailurus.demo.model.FoundLink
import org.ailurus.demo.model.Links

/**
 * Shows the rear camera's picture on [preview], and reads its frames until one holds a link. All of it runs on a thread
 * of its own, which is also where [onLink] and [onFailure] are called.
 */
internal class Camera(
    context: Context,
    private val preview: Surface,
    private val onLink: (FoundLink) -> Unit,
    private val onFailure: () -> Unit,
) : AutoCloseable {
    private val cameras = context.service<CameraManager>()
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private val frames = ImageReader.newInstance(WIDTH, HEIGHT, ImageFormat.YUV_420_888, 2)
    private var device: CameraDevice? = null

    /** A camera was asked for and has not answered yet: it answers on this thread. */
    private var opening = false
    private var found = false
    private var closed = false

    init {
        frames.setOnImageAvailableListener({ reader ->
            // The newest one: those that came while the last one was read are gone.
            reader.acquireLatestImage()?.use(::read)
        }, handler)
    }

    @SuppressLint("MissingPermission") // The screen has it.
    fun open() {
        handler.post {
            attempt {
                val id = rearCamera()
                if (id == null) {
                    onFailure()
                } else {
                    opening = true
                    cameras.openCamera(id, Opened(), handler)
                }
            }
        }
    }

    override fun close() {
        handler.post {
            closed = true
            device?.close()
            frames.close()
            preview.release()
            // A camera that is opening is closed when it answers.
            if (!opening) {
                thread.quitSafely()
            }
        }
    }

    /** Tells of what fails because the camera is gone, in use or not allowed. */
    private fun attempt(work: () -> Unit) {
        val failed = try {
            work()
            false
        } catch (_: CameraAccessException) {
            true
        } catch (_: IllegalStateException) {
            true
        } catch (_: IllegalArgumentException) {
            // The preview is gone.
            true
        } catch (_: SecurityException) {
            true
        }
        if (failed) {
            opening = false
            onFailure()
        }
    }

    private fun rearCamera(): String? {
        fun facing(id: String) = cameras.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING)
        val ids = cameras.cameraIdList
        return ids.firstOrNull { facing(it) == CameraCharacteristics.LENS_FACING_BACK } ?: ids.firstOrNull()
    }

    private fun read(frame: Image) {
        if (found) {
            return
        }
        val plane = frame.planes[0]
        val luma = ByteArray(plane.buffer.remaining()).also { plane.buffer.get(it) }
        val link = Links.inFrame(frame.width, frame.height, plane.rowStride, luma) ?: return
        found = true
        onLink(link)
    }

    private inner class Opened : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (endedBefore(camera)) {
                return
            }
            device = camera
            val surfaces = listOf(preview, frames.surface)
            attempt {
                @Suppress("DEPRECATION") // The other way is from API 28 on.
                camera.createCaptureSession(surfaces, Configured(camera, surfaces), handler)
            }
        }

        override fun onDisconnected(camera: CameraDevice) {
            if (!endedBefore(camera)) {
                camera.close()
            }
        }

        override fun onError(camera: CameraDevice, error: Int) {
            if (!endedBefore(camera)) {
                camera.close()
                onFailure()
            }
        }

        /** The camera has answered. If nobody waits for it any more, all ends here. */
        private fun endedBefore(camera: CameraDevice): Boolean {
            opening = false
            if (closed) {
                camera.close()
                thread.quitSafely()
            }
            return closed
        }
    }

    private inner class Configured(private val camera: CameraDevice, private val surfaces: List<Surface>) :
        CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) {
            if (closed) {
                return
            }
            attempt {
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                surfaces.forEach(request::addTarget)
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                session.setRepeatingRequest(request.build(), null, handler)
            }
        }

        override fun onConfigureFailed(session: CameraCaptureSession) = onFailure()
    }

    companion object {
        /** Every camera has this size, and a code fills enough of it. */
        const val WIDTH: Int = 1280
        const val HEIGHT: Int = 720
    }
}
