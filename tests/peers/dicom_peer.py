"""A DICOM modality and an archive, by the package `pynetdicom`.

dicom_peer.py server                            says "listening PORT"; takes everything, and tells who asked
dicom_peer.py client PORT NAME CERT KEY CA      over mutual TLS: negotiates whatever can be negotiated, sends an
                                                echo and an object, and is released; then asks again, and aborts
dicom_peer.py members PORT NAME CERT KEY CA     the same, with commands that name other SOP classes than their
                                                contexts: members of a meta SOP class, and UPS Push; the last one is
                                                no service of its context
"""

import ssl
import sys

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import (
    BasicFilmSession,
    BasicGrayscalePrintManagementMeta,
    CTImageStorage,
    UnifiedProcedureStepPush,
    UnifiedProcedureStepWatch,
    Verification,
)


def say(text):
    print(text, flush=True)


def server():
    archive = AE(ae_title="PACS")
    archive.supported_contexts = AllStoragePresentationContexts
    archive.add_supported_context(Verification)
    archive.add_supported_context(BasicGrayscalePrintManagementMeta)
    archive.add_supported_context(UnifiedProcedureStepWatch)

    def asked(event):
        requestor = event.assoc.requestor
        count = len(requestor.primitive.presentation_context_definition_list)
        identity = requestor.user_identity
        user = identity.primary_field.decode() if identity else "nobody"
        say(f"asked by {requestor.primitive.calling_ae_title} for {count} contexts as {user}")

    def stored(event):
        say(f"stored {event.dataset.PatientName}")
        return 0x0000

    handlers = [
        (evt.EVT_REQUESTED, asked),
        (evt.EVT_C_STORE, stored),
        (evt.EVT_N_CREATE, lambda event: (0x0000, event.attribute_list)),
        (evt.EVT_N_ACTION, lambda event: (0x0000, None)),
        (evt.EVT_USER_ID, lambda event: (True, None)),
        (evt.EVT_ABORTED, lambda event: say("aborted")),
        (evt.EVT_RELEASED, lambda event: say("released")),
    ]
    running = archive.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    say(f"listening {running.socket.getsockname()[1]}")
    sys.stdin.read()


def image():
    data = Dataset()
    data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.7"
    data.PatientName = "ZEBRAFINCH^ANNA"
    data.PatientID = "PQ4711"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def everything():
    user = UserIdentityNegotiation()
    user.user_identity_type = 2
    user.positive_response_requested = True
    user.primary_field = b"DR_HOUSE"
    user.secondary_field = b"vicodn"
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 1
    window.maximum_number_operations_performed = 1
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = CTImageStorage
    extended.service_class_application_information = b"\x02\x00\x03\x00\x01\x00"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid = CTImageStorage
    common.service_class_uid = "1.2.840.10008.4.2"
    return [user, window, extended, common, build_role(CTImageStorage, scu_role=True, scp_role=True)]


def tls(name, cert, key, ca):
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    return context, name


def members(port, *identity):
    modality = AE(ae_title="CT2")
    modality.add_requested_context(BasicGrayscalePrintManagementMeta)
    modality.add_requested_context(UnifiedProcedureStepWatch)
    association = modality.associate("127.0.0.1", int(port), ae_title="PACS", tls_args=tls(*identity))
    instance = "1.2.826.0.1.3680043.8.498.9"
    session = Dataset()
    session.NumberOfCopies = "1"
    status, _ = association.send_n_create(
        session, BasicFilmSession, instance, meta_uid=BasicGrayscalePrintManagementMeta
    )
    say(f"film session {status.Status:#06x}")
    subscription = Dataset()
    subscription.ReceivingAE = "CT2"
    push = {"meta_uid": UnifiedProcedureStepWatch}
    status, _ = association.send_n_action(subscription, 3, UnifiedProcedureStepPush, instance, **push)
    say(f"subscribe {status.Status:#06x}")
    status, _ = association.send_n_create(session, UnifiedProcedureStepPush, instance, **push)
    say("create a step " + ("went through" if "Status" in status else "aborted"))


def client(port, *identity):
    modality = AE(ae_title="CT2")
    modality.add_requested_context(Verification)
    modality.add_requested_context(CTImageStorage, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    others = [c.abstract_syntax for c in AllStoragePresentationContexts]
    for other in [uid for uid in others if uid != CTImageStorage][:126]:
        modality.add_requested_context(other)

    def associate():
        return modality.associate(
            "127.0.0.1", int(port), ae_title="PACS", tls_args=tls(*identity), ext_neg=everything()
        )

    association = associate()
    if association.is_rejected:
        say("rejected")
        return
    say(f"established with {len(association.accepted_contexts)} contexts")
    say(f"echo {association.send_c_echo().Status:#06x}")
    say(f"store {association.send_c_store(image()).Status:#06x}")
    association.release()
    say(f"released {association.is_released}")
    association = associate()
    association.abort()
    say(f"aborted {association.is_aborted}")


if __name__ == "__main__":
    {"server": server, "client": client, "members": members}[sys.argv[1]](*sys.argv[2:])
