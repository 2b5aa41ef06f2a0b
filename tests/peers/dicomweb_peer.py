"""A DICOMweb service of three studies, and its client, by the package `dicomweb-client`.

dicomweb_peer.py server        listens on a port that the kernel chooses, and says "listening PORT"
dicomweb_peer.py client PORT   searches, retrieves and stores, and says what came of it, a line each
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STUDY = "1.2.826.0.1.4711"
SERIES = STUDY + ".1"
INSTANCE = SERIES + ".1"


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        found = [{"0020000D": {"vr": "UI", "Value": [STUDY]}}]
        self.reply(200, "application/dicom+json", json.dumps(found).encode())

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        stored = {"00081190": {"vr": "UR", "Value": ["http://x"]}}
        self.reply(200, "application/dicom+json", json.dumps(stored).encode())


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    print("listening", server.server_address[1], flush=True)
    server.serve_forever()


def instance():
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = INSTANCE
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, INSTANCE
    data.StudyInstanceUID, data.SeriesInstanceUID = STUDY, SERIES
    data.PatientID = "PQ4711"
    return data


def talk(port):
    import requests
    from dicomweb_client.api import DICOMwebClient

    client = DICOMwebClient(f"http://127.0.0.1:{port}/dicom-web")
    calls = {
        "search studies": lambda: client.search_for_studies(search_filters={"PatientID": "PQ4711"}),
        "search series": lambda: client.search_for_series(STUDY),
        "search instances": lambda: client.search_for_instances(STUDY, SERIES),
        "study metadata": lambda: client.retrieve_study_metadata(STUDY),
        "instance metadata": lambda: client.retrieve_instance_metadata(STUDY, SERIES, INSTANCE),
        "store": lambda: client.store_instances([instance()]),
    }
    for name, call in calls.items():
        try:
            call()
            print(f"{name}: done", flush=True)
        except requests.HTTPError as error:
            print(f"{name}: {error.response.status_code}", flush=True)


if sys.argv[1] == "server":
    serve()
else:
    talk(sys.argv[2])
